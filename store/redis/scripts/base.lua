-- The beginning of every script. The one declared key is the log's. The others are
-- computed from it and share its slot. Positions and times are numbers of up to 53
-- bits. tostring and .. would print only 14 digits of them, so whole() formats them.
if redis.replicate_commands then redis.replicate_commands() end -- before 7.0, a script may otherwise not write after TIME
local LOG = KEYS[1]
local PREFIX = string.sub(LOG, 1, -4)
local call, pack, parse, max = redis.call, struct.pack, struct.unpack, math.max
-- Without a log, or with only a part of one, the script does nothing, and begin.lua
-- creates a new log.
if call('EXISTS', LOG, PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects') < 4 then return false end
local row = call('HMGET', LOG, 'id', 'head', 'floor', 'everyone')
if not row[1] then return false end
local head, floor, everyone = tonumber(row[2]), tonumber(row[3]), tonumber(row[4])
local clock = call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

local function whole(n) return string.format('%.0f', n) end

-- Fails unless a packed text ends where its last field does.
local function must_end(at, text) if at ~= #text + 1 then error('a packed text with bytes left over') end end
