-- Takes rooms that have nothing to bill off the index, but none that was announced again since it was looked at.
--
-- KEYS: the index. ARGV: an age in ms, the rooms.
-- Returns how many rooms left the index: those whose last announcement is older.
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local forgotten = 0
for i = 2, #ARGV do
  local announced = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if announced and tonumber(announced) < oldest then
    forgotten = forgotten + redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return forgotten
