-- ARGV[2] holds the sessions, 16 bytes each. ARGV[3] and the following arguments hold
-- one subject each.
local all, excepted, id, basis
above, seed, reason, actor, all, excepted, id, basis = parse('>I8c12Bc0Bc0BBc16I8', ARGV[1])
touch()
local refused = too_far()
if refused then return refused end
local reborn = excepted == 1 and read(id) or nil
local alive = lives(reborn) and reborn.subject == ARGV[3]
if alive and basis < reborn.commit then return answer(BEHIND, reborn) end

-- The sessions are read before anything is written.
local new, covered, seen = {}, 0, {}
local sessions = ARGV[2]
for at = 1, #sessions, 16 do
  local session = string.sub(sessions, at, at + 15)
  if not seen[session] then
    local f = read(session)
    local ending = tonumber(call('HGET', SESSIONS, 'e' .. session) or 0)
    seen[session] = true
    if ending > 0 or f and ended(f) then
      covered = max(covered, ending, floor) -- the floor covers an entry that was dropped
    else
      new[#new + 1] = f or {id = session}
    end
  end
end
refused = no_room(#new + #ARGV - 2 + all)
if refused then return refused end

for _, f in ipairs(new) do finish(f) end
for i = 3, #ARGV do append_subject(ARGV[i], alive and reborn) end
if all == 1 then append(EVERYONE, '') end
if alive then
  reborn.birth, reborn.position = head, head
  write(reborn)
  list(reborn)
end
if appended == 0 then return answer(UNWRITTEN, reborn, covered) end
save()
return answer(WRITTEN, reborn, max(head, covered))
