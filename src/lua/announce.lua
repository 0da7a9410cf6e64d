-- Tells the billing that messages of a room are going to be counted.
--
-- KEYS: 1 index of rooms (sorted set: room, time of its last announcement in ms)
-- ARGV: 1 the room
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), ARGV[1])
