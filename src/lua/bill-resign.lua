-- Ends an instance's lead, so that another can begin at once. Leaves the lead of another one alone.
--
-- KEYS: the election. ARGV: the instance.
-- Returns 1 if it led, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
