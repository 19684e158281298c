-- ARGV[2] holds the sessions, 16 bytes each. ARGV[3] and the following arguments hold
-- one subject each.
local MOST = 1000
local all, ring, excepted, id, basis, key, at
above, seed, reason, actor, all, ring, excepted, id, basis, key, at = parse('>I8c12Bc0Bc0BBc0Bc16I8Bc0', ARGV[1])
must_end(at, ARGV[1])
touch()
local refused = too_far()
if refused then return refused end
local survivor = excepted == 1 and read(id) or nil
local alive = lives(survivor) and survivor.subject == ARGV[3]
local named = alive and survivor.birth < name_cutoff(survivor)
if alive and not named and basis < survivor.commit then return answer(BEHIND, survivor) end

-- The sessions and the families to count are read before anything is written.
local new, covered, seen, count = {}, 0, {}, 0
local sessions = ARGV[2]
for at = 1, #sessions, 16 do
  local session = string.sub(sessions, at, at + 15)
  if not seen[session] then
    local f = read(session)
    local ending = tonumber(call('HGET', SESSIONS, 'e' .. session) or 0)
    seen[session] = true
    if ending > 0 or f and f.ended == 1 then
      covered = max(covered, ending, floor) -- the floor covers an entry that was dropped
    else
      if lives(f) then count = count + 1 end
      new[#new + 1] = f or {id = session}
    end
  end
end
-- A cutoff also cuts off the families in which its subject acts.
local looked = 0
for i = 3, #ARGV do
  local subject = ARGV[i]
  for _, key in ipairs({index(subject), index_of_actor(subject)}) do
    walk(key, '+', max(cutoff(subject), everyone), function(other)
      if looked == MOST then return true end
      looked = looked + 1
      if not seen[other] and lives(read(other)) then count = count + 1 end
      seen[other] = true
    end)
  end
end
refused = no_room(#new + #ARGV - 2 + all)
if refused then return refused end

for _, f in ipairs(new) do finish(f) end
for i = 3, #ARGV do append_subject(ARGV[i]) end
if all == 1 then append(EVERYONE, ring) end
if alive and not named and proven(survivor, key) then
  unlist(survivor)
  survivor.birth, survivor.position = head, head
  write(survivor)
  list(survivor)
  count = max(count - 1, 0)
end
if appended > 0 then save() end
return answer(appended > 0 and WRITTEN or UNWRITTEN, survivor, max(appended > 0 and head or 0, covered), count, false, named and ENDED)
