-- Ends a room after its last message: leaves the tombstone, tells the followers, and gives up the ownership.
--
-- KEYS: 1 owner (hash), 2 log (stream), 3 ended
-- ARGV: 1 the instance, 2 its term, 3 id of the last entry, 4 payload, 5 TTL of the tombstone in ms,
--       6 TTL of what is left of the room in ms, 7 channel of batches
-- Returns 1, or 0 when refused: the instance does not own the room under this term, so another one ends it. If nobody
-- owns it, because Redis has lost its data, the tombstone is left all the same. One that is there stays as it is.
local owner = redis.call('HMGET', KEYS[1], 'instance', 'term')
if not owner[1] or (owner[1] == ARGV[1] and owner[2] == ARGV[2]) then redis.call('SET', KEYS[3], ARGV[4], 'NX', 'PX', ARGV[5]) end
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'instance', '', 'finished', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('PUBLISH', ARGV[7], 'end ' .. ARGV[3] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return 1
