local NOBODY = string.rep('\0', 16)
local MOST, MOST_ENDS = 1000, 998
local f = {ended = 0, generation = 1, copy = 0, used = 0, commit = 0, value = '', issued = now, first = '', successor = '', packed = ''}
local leeway, known, not_before, limit, end_oldest, kept, value, one, other, at
local renews, old_id, basis, verified, proof, anew, methods, level
f.id, f.native, f.subject, f.label, f.names, f.actor, f.methods, f.level, f.key, f.seal, f.idle, f.absolute, f.started,
  f.authenticated, leeway, known, not_before, limit, end_oldest, kept, value, one, other,
  renews, old_id, basis, verified, proof, anew, methods, level, above, seed, reason, actor, at =
  parse('>c16BBc0Bc0Bc0Bc0Bc0Bc0Bc0c20I8I8I8I8I8I8I8I4BBI2c0c16c16Bc16I8c20Bc0I8Bc0Bc0I8c12Bc0Bc0', ARGV[1])
must_end(at, ARGV[1])
touch()
local refused = too_far()
if refused then return refused end

local there = read(f.id)
if there or call('HEXISTS', SESSIONS, 'e' .. f.id) == 1 then return answer(TAKEN, there) end
f.bound = f.key ~= '' and COUNTS or 0
f.keep = known > 0 and now + known or 0
local ends, replaced, bound = {}, {}, nil
if renews == 1 then
  local old = read(old_id)
  if not lives(old) or old.subject ~= f.subject or old.native ~= f.native or not proven(old, proof) then return answer(UNWRITTEN, old) end
  if old.birth < name_cutoff(old) then return answer(UNWRITTEN, old, 0, 0, false, ENDED) end
  if old.seal ~= verified then return answer(CHANGED, old) end
  if basis < old.commit then return answer(BEHIND, old) end
  for _, field in ipairs({'label', 'names', 'actor', 'methods', 'level', 'key', 'bound', 'started', 'authenticated', 'idle', 'absolute'}) do
    f[field] = old[field]
  end
  if anew > 0 then f.authenticated, f.methods, f.level = anew, methods, level end
  if old.bound > 0 then
    f.first = old.first ~= '' and old.first or old_id
    bound = f.first == old_id and old or read(f.first)
  end
  if old.commit > 0 and kept == 1 then f.value, f.commit = value, 1 end -- its position is set below
  ends[1], replaced[old_id] = old, true
end
local cut = max(cutoff(f.subject), everyone)
if not_before > 0 and not_before < max(cut, f.actor ~= '' and cutoff(f.actor) or 0, name_cutoff(f), floor) then return answer(EARLY) end
local function off_clock(time) return math.abs(time - now) > leeway end
if renews == 0 then
  local named = f.started > 0
  if not named then f.started = now end
  if f.authenticated == 0 then f.authenticated = f.started end
  if named and (off_clock(f.started) or f.authenticated > now + leeway) then return answer(OFF_CLOCK) end
elseif anew > 0 and off_clock(anew) then
  return answer(OFF_CLOCK)
end
for _, id in ipairs({one, other}) do
  if id ~= NOBODY and not replaced[id] then
    local old = read(id)
    local absent = not old and call('HEXISTS', SESSIONS, 'e' .. id) == 0
    if absent or state(old) == ALIVE then
      ends[#ends + 1], replaced[id] = old or {id = id}, true
    end
  end
end

-- Applies the limit. The index may also hold dead families, so it is never too short:
-- if it has fewer than limit members, no family needs to be read.
local families, dead, over, again = index(f.subject), {}, {}, false
if limit > 0 and call('ZLEXCOUNT', families, '[' .. pack('>I8', cut), '+') >= limit then
  local alive = 1 -- the new one
  walk(families, '+', cut, function(id, m)
    again = #dead == MOST or #over == MOST_ENDS
    if again then return true end
    if replaced[id] then return false end
    local old = read(id)
    if lives(old) then
      alive = alive + 1
      if alive > limit then over[#over + 1] = old end
    else
      dead[#dead + 1] = {m, old}
    end
    return #over > 0 and end_oldest == 0
  end)
end
-- The dead go last: the first write must be one that a full server refuses.
local function bury_dead()
  for _, d in ipairs(dead) do take_out(families, d[1], d[2]) end
end
if #over > 0 and end_oldest == 0 then
  bury_dead()
  return answer(FULL)
end
if again then ends = {} end -- those that the family replaces end with the last call
for _, old in ipairs(over) do ends[#ends + 1] = old end
refused = no_room(#ends)
if refused then return refused end

for _, old in ipairs(ends) do finish(old) end
if #ends > 0 then save() end
if again then
  bury_dead()
  return answer(AGAIN, nil, #ends > 0 and head or 0)
end
f.birth, f.position = head, head
if f.commit > 0 then f.commit = head end
write(f)
list(f)
if bound then
  details(bound).successor, bound.keep = f.id, max(details(bound).keep, deadline(f))
  write(bound)
end
bury_dead()
return answer(WRITTEN, f, #ends > 0 and head or 0)
