-- Makes an instance the one that bills, or lets it stay so, for the time of the lease.
--
-- KEYS: the election. ARGV: the instance, the lease in ms.
-- Returns 1 if it leads now, 0 while another one does.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
