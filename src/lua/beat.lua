-- Says that an instance lives, for so long.
--
-- KEYS: 1 instances (sorted set: instance, and the time in ms until which it surely lives)
-- ARGV: 1 the instance, 2 its lease in ms; 0: it leaves
-- Returns the instances that live.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
