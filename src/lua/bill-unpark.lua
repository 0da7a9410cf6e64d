-- Puts all parked records of a room back into its outbox, behind what waits there, in their order and with their keys.
--
-- KEYS: the parked records, the outbox.
-- Returns the records that were moved.
local records = redis.call('LRANGE', KEYS[1], 0, -1)
for _, record in ipairs(records) do redis.call('RPUSH', KEYS[2], record) end
redis.call('DEL', KEYS[1])
return records
