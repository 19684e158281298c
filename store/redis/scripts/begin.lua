-- Makes the log where there is none, or where a part of it was lost: its first
-- entry revokes everyone. Families that are left are below it, unless nothing is
-- left that tells of a head more than a minute ahead of the clock. Of a log that
-- was there the key set and what was announced go on. A field '' of sessions and
-- subjects keeps their keys there, so that one that is lost can be told from one
-- that is empty.
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
local log, seed, above, access, absolute, leeway, staleness = struct.unpack('>c16c12I8I8I8I8I8', ARGV[1])
local clock = call('TIME')
local micros = clock[1] * 1000000 + clock[2]
-- A minute ahead, so that a clock that was set back a little revives no cookie.
local at = max(above + 1, micros + 60000000, head + 1, newest + 1)
if at > 9007199254740991 then return redis.error_reply('ERR no positions are left') end
local function whole(n) return string.format('%.0f', n) end
call('HSET', LOG, 'id', log, 'version', '1', 'head', whole(at), 'floor', '0', 'everyone', whole(at))
for field, value in pairs({access = whole(access), absolute = whole(absolute), leeway = whole(leeway), staleness = whole(staleness),
  keys_version = '0', keys = ''}) do
  if call('HEXISTS', LOG, field) == 0 then call('HSET', LOG, field, value) end
end
call('UNLINK', ENTRIES, SESSIONS, SUBJECTS, PREFIX .. 'forget')
call('HSET', SESSIONS, '', '0')
call('HSET', SUBJECTS, '', '0')
local reason = 'the log begins'
call('XADD', ENTRIES, whole(at) .. '-0', 'e', pack('>I8I8I8B', at, 0, math.floor(micros / 1000), 1) .. seed ..
  pack('>I4Bc0Bc0Bc0', 0, 0, '', #reason, reason, 0, ''))
return 1
