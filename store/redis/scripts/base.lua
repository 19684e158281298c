-- What every script begins with. The one declared key is the log's; the others
-- are computed from it and share its slot. Positions and times are numbers of
-- 53 bits: tostring and .. would print 14 digits of them, so whole() is used.
if redis.replicate_commands then redis.replicate_commands() end -- before 7.0, TIME would forbid all writes
local LOG = KEYS[1]
local PREFIX = string.sub(LOG, 1, -4)
local call, pack, parse, max = redis.call, struct.pack, struct.unpack, math.max
-- No log, or not all of it: nothing is done, and begin.lua makes another.
if call('EXISTS', LOG, PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects') < 4 then return false end
local row = call('HMGET', LOG, 'id', 'head', 'floor', 'everyone')
if not row[1] then return false end
local head, floor, everyone = tonumber(row[2]), tonumber(row[3]), tonumber(row[4])
local clock = call('TIME')
local micros = clock[1] * 1000000 + clock[2]
local now = math.floor(micros / 1000)

local function whole(n) return string.format('%.0f', n) end
