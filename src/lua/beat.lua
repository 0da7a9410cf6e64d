-- Says that an instance lives, for so long.
--
-- KEYS: 1 instances (sorted set: instance, and the time in ms until which it surely lives)
-- ARGV: 1 the instance, 2 its lease in ms; 0: it leaves
-- Returns the instances that live, behind the word "mended" or an empty one.
--
-- Without this key no instance may own a room, and it holds nothing that is not said again within a lease. So what is no sorted
-- set gives way to one, and an entry that no lease explains goes.
local LONGEST_LEASE_MS = 2147483647
local mended = ''
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('DEL', KEYS[1])
  mended = 'mended'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + LONGEST_LEASE_MS), '+inf')
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
local living = redis.call('ZRANGE', KEYS[1], 0, -1)
table.insert(living, 1, mended)
return living
