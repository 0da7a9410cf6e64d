-- Ends a room: leaves the tombstone, and announces the end to whoever listens.
--
-- KEYS: 1 ended
-- ARGV: 1 payload, 2 TTL of the tombstone in ms, 3 the room's end channel
-- Returns 1, or 0 when the room has ended before: then nothing changes.
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  redis.call('PUBLISH', ARGV[3], ARGV[1])
  return 1
end
return 0
