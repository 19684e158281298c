local NOBODY = string.rep('\0', 16)
local id, subject, label, is_native, idle, absolute, not_before, limit, end_oldest, kept, value, first, second, renews, old_id, basis
id, subject, label, is_native, idle, absolute, not_before, limit, end_oldest, kept, value, first, second, renews, old_id, basis,
  above, seed, reason, actor = parse('>c16Bc0Bc0BI8I8I8I4BBI2c0c16c16Bc16I8I8c12Bc0Bc0', ARGV[1])
touch()
local refused = too_far()
if refused then return refused end

local there = read(id)
if there or call('HEXISTS', SESSIONS, 'e' .. id) == 1 then return answer(TAKEN, there) end
if not_before > 0 and not_before < max(cutoff(subject), everyone, floor) then return answer(EARLY) end
local f = {id = id, flags = is_native, commit = 0, generation = 1, copy = 0, used = 0, started = now, authenticated = now,
  issued = now, idle = idle, absolute = now + absolute, subject = subject, label = label, value = ''}
local ends, replaced = {}, {}
if renews > 0 then
  local old = read(old_id)
  if not lives(old) or old.subject ~= subject or old.flags ~= is_native then return answer(UNWRITTEN, old) end
  if basis < old.commit then return answer(BEHIND, old) end
  f.started, f.idle, f.absolute, f.label = old.started, old.idle, old.absolute, old.label
  if renews == 1 then f.authenticated = old.authenticated end
  if old.commit > 0 and kept == 1 then f.value, f.commit = value, 1 end -- its position is set below
  ends[1], replaced[old_id] = old, true
end
for _, other in ipairs({first, second}) do
  if other ~= NOBODY and not replaced[other] then
    local old = read(other)
    local absent = not old and call('HEXISTS', SESSIONS, 'e' .. other) == 0
    if absent or state(old) == ALIVE then
      ends[#ends + 1], replaced[other] = old or {id = other}, true
    end
  end
end

-- Applies the limit. The index may also hold expired families, so it is never too
-- short: if it has fewer than limit members, no family needs to be read.
local MOST = 1000
local families = index(subject)
local size, dead, over, again = call('ZCARD', families), {}, {}, false
if limit > 0 and size >= limit then
  local at, alive = 0, 0
  while at < size and not again do
    for _, other in ipairs(call('ZREVRANGE', families, at, at + 127)) do
      local old = not replaced[other] and read(other)
      if old and lives(old) then
        alive = alive + 1
        if alive >= limit then over[#over + 1] = old end
      elseif not old and not replaced[other] then
        dead[#dead + 1] = other
      end
    end
    at = at + 128
    if #over > 0 and end_oldest == 0 then break end
    again = at < size and (#over >= MOST or at > limit + 5 * MOST)
  end
elseif size > 0 then
  -- Remove expired families from a random sample, so that they never make up most of
  -- an index.
  for _, other in ipairs(call('ZRANDMEMBER', families, 3)) do
    if call('EXISTS', PREFIX .. 'f:' .. other) == 0 then dead[#dead + 1] = other end
  end
end
for _, other in ipairs(dead) do call('ZREM', families, other) end
if #over > 0 and end_oldest == 0 then return answer(FULL) end
if again then ends = {} end -- the last step of Create does the rest
for _, old in ipairs(over) do ends[#ends + 1] = old end
refused = no_room(#ends)
if refused then return refused end

for _, old in ipairs(ends) do finish(old) end
if again then
  save()
  return head
end
f.birth, f.position = head, head
if f.commit > 0 then f.commit = head end
write(f)
list(f)
if #ends > 0 then save() end
return answer(WRITTEN, f, #ends > 0 and head or 0)
