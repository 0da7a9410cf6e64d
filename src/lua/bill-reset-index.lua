-- Begins the index of the billing anew, if what stands in its place is none.
--
-- KEYS: the index. ARGV: the member that stands in it until it is complete.
-- Returns 1 if it did, 0 where there is an index, or nothing.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'zset' or kind == 'none' then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
return 1
