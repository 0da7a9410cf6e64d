-- Makes an instance the one that bills, or lets it stay so, for the time of the lease.
--
-- KEYS: the election. ARGV: the instance, the lease in ms.
-- Returns 1 if it leads now, 0 while another one does. What has another type, or outlives every lease, was put there by nobody
-- that bills, and would keep all from it.
local leader = redis.pcall('GET', KEYS[1])
if type(leader) == 'string' and leader ~= ARGV[1] then
  local ttl = redis.call('PTTL', KEYS[1])
  if ttl >= 0 and ttl <= tonumber(ARGV[2]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
