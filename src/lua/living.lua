-- KEYS: 1 instances (as in beat.lua)
-- Returns the instances that live.
local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), '+inf')
