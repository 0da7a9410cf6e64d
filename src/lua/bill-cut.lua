-- Gives the record of a room that is to be billed next, and cuts one from the count when there is none.
--
-- KEYS: the room's outbox, its unbilled count. ARGV: the key for a new record.
-- Returns the record as JSON, nil when there is nothing to bill, or the error BADCOUNT.
-- Invariant: a message is either in the count or in one record, and a record never changes. So a count that could not
-- be billed is billed again with the same key, and what is counted meanwhile waits as one number.
local head = redis.call('LINDEX', KEYS[1], 0)
if head then return head end
local count = redis.call('GET', KEYS[2])
if not count or count == '0' then return false end
if #count > 15 or not string.match(count, '^[1-9]%d*$') then return redis.error_reply('BADCOUNT the unbilled count is not a count') end
local record = '{"key":"' .. ARGV[1] .. '","count":' .. count .. '}'
redis.call('RPUSH', KEYS[1], record)
redis.call('DEL', KEYS[2])
return record
