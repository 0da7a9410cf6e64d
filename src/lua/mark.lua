-- Says in the channel of signals that an instance follows from here on. Everybody hears the mark at the same place among
-- the room's messages, so the owner's answer (answer-mark.lua), the number of the last message before the mark, tells
-- the follower the number of each message it has heard after it.
--
-- KEYS: 1 owner (hash)
-- ARGV: 1 the instance, 2 a word to know the mark by, 3 channel of signals
-- Returns { instance, term, tail } of the owner; "" for what there is not. Without an owner there is no mark.
local owner = redis.call('HMGET', KEYS[1], 'instance', 'term', 'tail')
if owner[1] and owner[1] ~= '' then redis.call('PUBLISH', ARGV[3], 'mark ' .. ARGV[1] .. ' ' .. ARGV[2]) end
-- As claim.lua reads it: who names this owner there must be understood.
local time = redis.call('TIME')
local term = owner[2] and #owner[2] <= 14 and string.match(owner[2], '^%d+$') and tonumber(owner[2]) or 0
if term >= time[1] * 1000 + 1e12 then term = 0 end
return { owner[1] or '', term, owner[3] or '' }
