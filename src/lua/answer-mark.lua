-- The owner's answer to a mark (mark.lua), after all entries that were appended before.
--
-- KEYS: 1 owner (hash)
-- ARGV: 1 the instance, 2 its term, 3 the word of the mark, 4 number of the last message before it, 5 channel of batches,
--       6 TTL of the owner in ms: somebody watches the room, though nothing may have been said for long
-- Returns 1, or 0 when refused: the instance does not own the room under this term.
local owner = redis.call('HMGET', KEYS[1], 'instance', 'term')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PUBLISH', ARGV[5], 'marked ' .. ARGV[3] .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
return 1
