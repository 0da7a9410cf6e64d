-- Takes a record off the head of a room's outbox: for good, or to the list of what is parked.
--
-- KEYS: the outbox; and where to park the record, unless it was billed. ARGV: the record's key.
-- Returns 1 if it was there, 0 if another one is, or none: then it was taken before.
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then return 0 end
local isJson, record = pcall(cjson.decode, head)
if not isJson or type(record) ~= 'table' or record.key ~= ARGV[1] then return 0 end
if KEYS[2] then redis.call('RPUSH', KEYS[2], head) end
redis.call('LPOP', KEYS[1])
return 1
