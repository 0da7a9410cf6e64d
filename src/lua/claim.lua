-- Takes the ownership of a room, or says who has it.
--
-- KEYS: 1 owner (hash), 2 log (stream), 3 ended
-- ARGV: 1 the instance, 2 the owner it replaces as "<instance>:<term>", or "" for none, 3 the last term it knows of,
--       4 "1" when it has heard all that is not in the log yet, else "0", 5 channel of signals, 6 TTL of the owner in ms,
--       7 id of the last entry the instance has seen, or ""
-- Returns { outcome, instance, term, id of the last entry or "", 1 when the room has ended, payload of the end }:
--   "claimed": the instance owns the room under this term. The owner before it is fenced from here on.
--   "owned":   by this instance and term.
--   "wait":    the room was given up a moment ago, and others have heard more.
--   "ended":   the room has ended, and its log is complete.
--
-- What stands under these keys and was not written by an instance is no owner, tail or term. A log that ends with it goes.
--
-- Where Redis has lost the last entries, the log goes on behind what the instance has seen: the hole shows, for an entry
-- names the one before it.
--
-- Invariant: a term is greater than every term of the room before it, also when the clock went back or data was lost.
-- Heirs that have heard all come first for so long.
local COURTESY_MS = 1000

local function isBefore (id, other)
  local term, n = string.match(id, '^(%d+)-(%d+)$')
  local otherTerm, otherN = string.match(other, '^(%d+)-(%d+)$')
  if not term or not otherTerm then return false end
  if term ~= otherTerm then return tonumber(term) < tonumber(otherTerm) end
  return tonumber(n) < tonumber(otherN)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Terms are milliseconds since 1970, or a little later: one that is thirty years ahead was not written by an instance, and so
-- near to what a number can hold there would be no place above it.
local function termOf (text)
  local term = text and #text <= 14 and string.match(text, '^%d+$') and tonumber(text) or 0
  return term < time[1] * 1000 + 1e12 and term or 0
end

local function idOf (text)
  local term, n = string.match(text or '', '^(%d+)-(%d+)$')
  return term and termOf(term) > 0 and #n <= 14 and text or ''
end

local owner = redis.call('HMGET', KEYS[1], 'instance', 'term', 'tail', 'released', 'heirs', 'finished')
local instance, term, tail = owner[1] or '', termOf(owner[2]), idOf(owner[3])
local ended = redis.call('GET', KEYS[3])
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last and idOf(last[1]) == '' then
  redis.call('DEL', KEYS[2])
  last = nil
end
if tail == '' and last then tail = last[1] end

local current = instance == '' and '' or instance .. ':' .. string.format('%.0f', term)
if current ~= '' and current ~= ARGV[2] then
  return { 'owned', instance, term, tail, ended and 1 or 0, ended or '' }
end
if current == '' then
  -- Of a room that was given up before its end was logged, somebody may have heard more.
  if ended and (owner[6] or not owner[2]) then return { 'ended', '', 0, tail, 1, ended } end
  -- A clock that went back must make nobody wait for long.
  local since = now - (tonumber(owner[4] or '') or 0)
  if ARGV[4] == '0' and (tonumber(owner[5] or '') or 0) > 0 and since >= 0 and since < COURTESY_MS then
    return { 'wait', '', 0, tail, 0, '' }
  end
end

local known = math.max(term, tonumber(ARGV[3]))
if last then known = math.max(known, termOf(string.match(last[1], '^%d+'))) end
term = math.max(now, known + 1)
redis.call('HSET', KEYS[1], 'instance', ARGV[1], 'term', string.format('%.0f', term))
redis.call('HDEL', KEYS[1], 'released', 'heirs', 'finished')
if tail == '' then
  redis.call('HDEL', KEYS[1], 'tail')
elseif isBefore(tail, ARGV[7]) then
  redis.call('HSET', KEYS[1], 'tail', ARGV[7])
elseif owner[3] and owner[3] ~= tail then
  redis.call('HSET', KEYS[1], 'tail', tail)
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PUBLISH', ARGV[5], 'claimed ' .. ARGV[1] .. ' ' .. string.format('%.0f', term))
return { 'claimed', ARGV[1], term, tail, ended and 1 or 0, ended or '' }
