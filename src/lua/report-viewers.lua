-- Says how many viewers of a room an instance has, strikes what dead instances have said, and tells everyone who has the
-- room open what all have said.
--
-- KEYS: 1 viewers (hash: instance, how many viewers it has)
-- ARGV: 1 channel of signals, 2 TTL of the hash in ms, 3 the instance, 4 how many viewers it has, 5… dead instances
--
-- Returns 1 when what stood there was no hash, else 0. It holds nothing that is not said again, so it gives way to one.
-- Invariant: who listens has heard all that is in the hash, for it changes nowhere else.
local kind = redis.call('TYPE', KEYS[1]).ok
local isBroken = kind ~= 'hash' and kind ~= 'none'
if isBroken then redis.call('DEL', KEYS[1]) end
if ARGV[4] == '0' then redis.call('HDEL', KEYS[1], ARGV[3]) else redis.call('HSET', KEYS[1], ARGV[3], ARGV[4]) end
for index = 5, #ARGV do redis.call('HDEL', KEYS[1], ARGV[index]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[1], 'viewers ' .. table.concat(redis.call('HGETALL', KEYS[1]), ' '))
return isBroken and 1 or 0
