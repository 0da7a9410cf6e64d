-- Publishes a chat message, and keeps it for later when nobody listens. Tenants may use it instead of PUBLISH.
--
-- KEYS: 1 "chat:{<room>}:pending", 2 "chat:{<room>}:ended"; <room> is the room's id, a UUID in lower case
-- ARGV: 1 <room>, 2 the message
-- Returns how many instances took the message; 0: it is parked, and comes first when the room is opened;
-- -1: the room has ended; -2: 1,000 messages are parked already, or it is larger than 64 KiB. With -1 and -2 the message
-- went nowhere.
if redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
local receivers = redis.call('PUBLISH', ARGV[1], ARGV[2])
if receivers > 0 then return receivers end
if #ARGV[2] > 65536 or redis.call('LLEN', KEYS[1]) >= 1000 then return -2 end
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], 3600000)
return 0
