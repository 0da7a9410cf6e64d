-- Appends an entry to a room's log, tells the followers, and counts its messages: all of it or nothing.
--
-- KEYS: 1 owner (hash), 2 log (stream), 3 pending (list), 4 unbilled (integer)
-- ARGV: 1 the instance, 2 its term, 3 kind, 4 id of the entry before it, 5 its own id, 6 data, 7 oldest id to keep,
--       8 messages to count, 9 parked messages that are in it, 10 TTL of the log in ms, 11 TTL of the owner in ms,
--       12 channel of batches
-- Returns 1, or 0 when refused: the instance does not own the room under this term, or the log does not end with the
-- entry before it. Who is refused is fenced: nobody else has seen the entry. 2: it is done, and what stood in the place of the
-- count was none, so it was set aside, under the same name and ":broken".
--
-- What Redis may refuse comes first, so that nothing is done by halves.
-- Invariant: each entry of the log follows the one before it, and a message is counted if and only if it is logged.
local owner = redis.call('HMGET', KEYS[1], 'instance', 'term', 'tail')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 0 end
if owner[3] and owner[3] ~= ARGV[4] then return 0 end
redis.call('XADD', KEYS[2], 'MINID', ARGV[7], ARGV[5], 'kind', ARGV[3], 'from', ARGV[4], 'data', ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[10])
redis.call('HSET', KEYS[1], 'tail', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[11])
local result = 1
if ARGV[8] ~= '0' and type(redis.pcall('INCRBY', KEYS[4], ARGV[8])) == 'table' then
  redis.call('RENAME', KEYS[4], KEYS[4] .. ':broken')
  redis.call('INCRBY', KEYS[4], ARGV[8])
  result = 2
end
-- If it is no list any more, the messages are gone from it too.
if ARGV[9] ~= '0' then redis.pcall('LTRIM', KEYS[3], ARGV[9], -1) end
redis.call('PUBLISH', ARGV[12], ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
return result
