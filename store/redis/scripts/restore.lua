-- ARGV[2] and the following arguments hold one lost entry each.
local at
above, seed, at = parse('>I8c12', ARGV[1])
must_end(at, ARGV[1])
touch()
local refused = too_far()
if refused then return refused end
local families, endings = {}, {}
local function lost(e)
  local covered = everyone
  if e.kind == SUBJECT then
    covered = max(covered, cutoff(e.name))
  elseif e.kind == SESSION then
    if state(families[e.name]) == ALIVE then return true end
    -- It is not enough that the session has ended: its entry may be below positions
    -- that were minted before the loss.
    covered = max(covered, floor, endings[e.name])
  end
  return covered < e.position
end

local entries, n = {}, 0
for i = 2, #ARGV do
  local e = {}
  e.kind, e.position, e.name, e.reason, e.actor, at = parse('>BI8Bc0Bc0Bc0', ARGV[i])
  must_end(at, ARGV[i])
  if e.kind == SESSION then
    families[e.name] = read(e.name)
    endings[e.name] = tonumber(call('HGET', SESSIONS, 'e' .. e.name) or 0)
  end
  entries[#entries + 1] = e
  if lost(e) then n = n + 1 end
end
refused = no_room(n)
if refused then return refused end

for _, e in ipairs(entries) do
  if lost(e) then -- check again: an entry before may name the same
    reason, actor = e.reason, e.actor
    if e.kind == SUBJECT then
      append_subject(e.name)
    elseif e.kind == SESSION and families[e.name] and families[e.name].ended == 0 then
      finish(families[e.name])
      endings[e.name] = head
    else
      append(e.kind, e.name)
      if e.kind == SESSION then endings[e.name] = head end
    end
  end
end
if appended == 0 then return answer(UNWRITTEN) end
save()
return answer(WRITTEN, nil, head)
