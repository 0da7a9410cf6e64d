-- Adds up what is not billed yet of some rooms.
--
-- KEYS: by turns a room's outbox and its unbilled count.
-- Returns the number of messages in the counts and the records. A key that is broken counts nothing: the billing says so.
local messages = 0
for i = 1, #KEYS, 2 do
  local records = redis.pcall('LRANGE', KEYS[i], 0, -1)
  if not records.err then
    for _, record in ipairs(records) do messages = messages + (tonumber(string.match(record, '"count":(%d+)')) or 0) end
  end
  local count = redis.pcall('GET', KEYS[i + 1])
  if type(count) == 'string' then messages = messages + (tonumber(count) or 0) end
end
return messages
