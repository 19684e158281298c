-- Makes the log where there is none: its first entry revokes everyone. What may
-- be left of an older one goes; families that are left are below the entry.
if redis.replicate_commands then redis.replicate_commands() end
local LOG = KEYS[1]
local PREFIX = string.sub(LOG, 1, -4)
local call, pack = redis.call, struct.pack
call('EXISTS', PREFIX .. 'nothing') -- see append.lua
local kind = call('TYPE', LOG).ok
if kind == 'hash' and call('HEXISTS', LOG, 'id') == 1 then return 0 end
if kind ~= 'none' then return redis.error_reply('ERR the key ' .. LOG .. ' is of another program; give wafer another Name') end
local log, seed, above = struct.unpack('>c16c12I8', ARGV[1])
local clock = call('TIME')
local micros = clock[1] * 1000000 + clock[2]
-- A minute ahead, so that a clock that was set back a little revives no cookie.
local at = math.max(above + 1, micros + 60000000)
local last = call('XREVRANGE', PREFIX .. 'entries', '+', '-', 'COUNT', 1)[1]
if last then at = math.max(at, string.match(last[1], '^%d+') + 1) end
if at > 9007199254740991 then return redis.error_reply('ERR no positions are left') end
local function whole(n) return string.format('%.0f', n) end
call('HSET', LOG, 'id', log, 'version', '1', 'head', whole(at), 'floor', '0', 'everyone', whole(at),
  'access', '0', 'absolute', '0', 'leeway', '0', 'staleness', '0', 'keys_version', '0', 'keys', '')
call('UNLINK', PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects', PREFIX .. 'forget')
local reason = 'the log begins'
call('XADD', PREFIX .. 'entries', whole(at) .. '-0', 'e', pack('>I8I8I8B', at, 0, math.floor(micros / 1000), 1) .. seed ..
  pack('>I4Bc0Bc0Bc0', 0, 0, '', #reason, reason, 0, ''))
return 1
