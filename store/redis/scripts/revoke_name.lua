local NO_ID = string.rep('\0', 16)
local MOST_ENDS = 999
local name, id, at
above, seed, reason, actor, name, id, at = parse('>I8c12Bc0Bc0c32c16', ARGV[1])
must_end(at, ARGV[1])
touch()
local refused = too_far()
if refused then return refused end
local entry = id ~= NO_ID and tonumber(call('HGET', SESSIONS, 'r' .. id) or 0) or 0
local below, resumed = entry, entry > 0
if not resumed then below = next_position() end
local key, ends, dead, more = index_of_name(name), {}, {}, false
walk(key, '(' .. pack('>I8', below), everyone, function(family, m)
  more = #ends + #dead == MOST_ENDS
  if more then return true end
  local f = read(family)
  if lives(f) then ends[#ends + 1] = f else dead[#dead + 1] = {m, f} end
end)
refused = no_room(#ends + (resumed and 0 or 1))
if refused then return refused end
if not resumed then append(NAME, name, id ~= NO_ID and id or nil) end
for _, f in ipairs(ends) do finish(f) end
if appended > 0 then
  save()
  entry = head
end
for _, d in ipairs(dead) do take_out(key, d[1], d[2]) end
return answer(appended > 0 and WRITTEN or UNWRITTEN, nil, entry, #ends, more)
