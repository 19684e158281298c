-- Creates the log if there is none, or if a part of it was lost. The first entry of
-- the new log revokes everyone. Families that are left are below that entry, unless
-- the old head was more than a minute ahead of the clock and every trace of it is
-- lost. The key set and the announcements of the old log are kept, if they are
-- there. A field '' keeps the keys of sessions and subjects in existence, so that a
-- lost one can be distinguished from an empty one.
if redis.replicate_commands then redis.replicate_commands() end
local LOG = KEYS[1]
local PREFIX = string.sub(LOG, 1, -4)
local ENTRIES, SESSIONS, SUBJECTS = PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects'
local call, pack, max = redis.call, struct.pack, math.max
call('EXISTS', PREFIX .. 'nothing') -- see append.lua
local kind = call('TYPE', LOG).ok
local there = kind == 'hash' and call('HMGET', LOG, 'id', 'head', 'floor') or {}
if not there[1] and kind ~= 'none' then return redis.error_reply('ERR the key ' .. LOG .. ' is of another program; give wafer another Name') end
local head, floor = tonumber(there[2] or 0), tonumber(there[3] or 0)
local last = call('XREVRANGE', ENTRIES, '+', '-', 'COUNT', 1)[1]
local newest = last and tonumber(string.match(last[1], '^%d+')) or 0
if there[1] and call('EXISTS', ENTRIES, SESSIONS, SUBJECTS) == 3 and max(newest, floor) == head then return 0 end
local log, entry, above, access, absolute, leeway, staleness = struct.unpack('>c16c16I8I8I8I8I8', ARGV[1])
local clock = call('TIME')
local micros = clock[1] * 1000000 + clock[2]
-- The first position is a minute ahead of the clock, so that no cookie becomes valid
-- again if the clock was set back a little.
local at = max(above + 1, micros + 60000000, head + 1, newest + 1)
if at > 9007199254740991 then return redis.error_reply('ERR no positions are left') end
local function whole(n) return string.format('%.0f', n) end
call('HSET', LOG, 'id', log, 'version', '3', 'head', whole(at), 'head_id', entry, 'floor', '0', 'floor_id', '', 'everyone', whole(at))
for field, value in pairs({access = whole(access), absolute = whole(absolute), leeway = whole(leeway), staleness = whole(staleness),
  keys_version = '0', keys = ''}) do
  if call('HEXISTS', LOG, field) == 0 then call('HSET', LOG, field, value) end
end
call('UNLINK', ENTRIES, SESSIONS, SUBJECTS, PREFIX .. 'forget')
call('HSET', SESSIONS, '', '0')
call('HSET', SUBJECTS, '', '0')
local reason = 'the log begins'
call('XADD', ENTRIES, whole(at) .. '-0', 'e', pack('>I8I8I8B', at, 0, math.floor(micros / 1000), 1) .. entry ..
  pack('>Bc0Bc0Bc0', 0, '', #reason, reason, 0, ''))
return 1
