-- Gives up the ownership of a room, so that another instance takes it at once.
--
-- KEYS: 1 owner (hash)
-- ARGV: 1 the instance, 2 its term, 3 "1" to do so only if somebody follows, else "0", 4 channel of batches,
--       5 channel of signals
-- Returns 1, or 0 when nothing was given up: the instance is not the owner, or nobody follows.
--
-- Of a room in which nothing was ever said only the term is left, which Redis' clock exceeds by itself. It is forgotten soon: any UUID is a
-- room to whoever may watch, and makes this key.
local SILENT_TTL_MS = 60000
local owner = redis.call('HMGET', KEYS[1], 'instance', 'term', 'tail')
if owner[1] ~= ARGV[1] or owner[2] ~= ARGV[2] then return 0 end
local heirs = redis.call('PUBSUB', 'NUMSUB', ARGV[4])[2]
if heirs == 0 and ARGV[3] == '1' then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'instance', '', 'heirs', heirs,
  'released', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('PUBLISH', ARGV[5], 'released ' .. ARGV[1] .. ' ' .. ARGV[2])
if not owner[3] then redis.call('PEXPIRE', KEYS[1], SILENT_TTL_MS) end
return 1
