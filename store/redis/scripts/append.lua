-- Functions for scripts that append to the log. The script sets above, seed, reason
-- and actor.
local EVERYONE, SUBJECT, SESSION, SUPERSEDING, NAME = 1, 2, 3, 4, 5
local ENTRIES, SESSIONS, SUBJECTS, FORGET = PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects', PREFIX .. 'forget'
local above, seed, reason, actor
local appended, head_id = 0, nil

-- Makes the script fail before its first write rather than after it, if one of the
-- keys has another type, or while a Cluster moves the slot to another node, key by
-- key. During such a move the server refuses every key that it does not have, and the
-- first command names one that never exists.
local function touch()
  call('EXISTS', PREFIX .. 'nothing')
  call('XLEN', ENTRIES)
  call('HLEN', SESSIONS)
  call('HLEN', SUBJECTS)
  call('ZCARD', FORGET)
  call('ZCARD', LIVING)
end

local function next_position() return max(head + 1, above + 1, micros) end

-- Returns an error if above is more than a day beyond the head and the clock. Its
-- first word lets the engine return store.ErrAbove.
local function too_far()
  if above > max(head, micros) + 86400000000 then
    return redis.error_reply('BEYOND ' .. whole(above) .. ', with the head at ' .. whole(head))
  end
end

-- Returns an error if no positions are left for n more entries.
local function no_room(n)
  if n > 0 and next_position() > 9007199254740992 - n then -- so that no number is above 2^53
    return redis.error_reply('ERR no positions are left above ' .. whole(max(head, above)))
  end
end

-- The cutoffs of names are kept with those of sessions: both are dropped with their
-- entries. An entry that the caller has named by an id can be found by it.
local function append(kind, name, id)
  local at = next_position()
  head_id = id or seed .. pack('>I4', appended)
  call('XADD', ENTRIES, whole(at) .. '-0', 'e', pack('>I8I8I8B', at, head, now, kind) .. head_id ..
    pack('>Bc0Bc0Bc0', #name, name, #reason, reason, #actor, actor))
  appended, head = appended + 1, at
  if kind == EVERYONE then
    everyone = at
  elseif kind == SESSION then
    call('HSET', SESSIONS, 'e' .. name, whole(at))
  elseif kind == SUPERSEDING then
    call('HSET', SESSIONS, 's' .. name, whole(at))
  elseif kind == NAME then
    call('HSET', SESSIONS, 'n' .. name, whole(at))
    if id then call('HSET', SESSIONS, 'r' .. id, whole(at)) end
  end
end

-- A subject has one cutoff, which moves. FORGET holds when it was set.
local function append_subject(subject)
  append(SUBJECT, subject)
  call('HSET', SUBJECTS, subject, whole(head))
  call('ZADD', FORGET, whole(now), subject)
  cutoffs[subject] = head
end

-- Returns the highest cutoff of a family's names, or 0.
local function name_cutoff(f)
  local highest, names = 0, details(f).names
  for at = 1, #names, 32 do
    highest = max(highest, tonumber(call('HGET', SESSIONS, 'n' .. string.sub(names, at, at + 31)) or 0))
  end
  return highest
end

-- Ends a session. An absent one has no raw record.
local function finish(f)
  if f.raw then
    f.ended = 1
    write(f)
    unlist(f)
  end
  append(SESSION, f.id)
end

local function save() call('HSET', LOG, 'head', whole(head), 'head_id', head_id, 'everyone', whole(everyone)) end
