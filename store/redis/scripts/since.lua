-- Reads a part of the log atomically, if the log changes too fast to be read without
-- a script.
local after, most, at = parse('>I8I4', ARGV[1])
must_end(at, ARGV[1])
local found = call('XREVRANGE', PREFIX .. 'entries', '+', '-', 'COUNT', 1)[1]
if max(found and tonumber(string.match(found[1], '^%d+')) or 0, floor) ~= head then return false end -- see begin.lua
local ids = call('HMGET', LOG, 'head_id', 'floor_id')
local out = {pack('>I8I8I8Bc0Bc0', head, floor, now, #ids[1], ids[1], #ids[2], ids[2]) .. row[1]}
for i, e in ipairs(call('XRANGE', PREFIX .. 'entries', whole(after) .. '-0', '+', 'COUNT', most)) do
  out[i + 1] = e[2][2]
end
return out
