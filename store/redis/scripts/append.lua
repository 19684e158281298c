-- Functions for scripts that append to the log. The script sets above, seed, reason
-- and actor.
local EVERYONE, SUBJECT, SESSION, SUPERSEDING = 1, 2, 3, 4
local ENTRIES, SESSIONS, SUBJECTS, FORGET = PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects', PREFIX .. 'forget'
local above, seed, reason, actor
local appended = 0

-- Makes the script fail before its first write rather than after it, if one of the
-- keys has another type, or while a Cluster moves the slot to another node, key by
-- key. During such a move the server refuses every key that it does not have, and the
-- first command names one that never exists.
local function touch()
  call('EXISTS', PREFIX .. 'nothing')
  call('XLEN', ENTRIES)
  call('HLEN', SESSIONS)
  call('HLEN', SUBJECTS)
  call('LLEN', FORGET)
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

local function append(kind, name)
  local at = next_position()
  call('XADD', ENTRIES, whole(at) .. '-0', 'e', pack('>I8I8I8B', at, head, now, kind) .. seed ..
    pack('>I4Bc0Bc0Bc0', appended, #name, name, #reason, reason, #actor, actor))
  appended, head = appended + 1, at
  if kind == EVERYONE then
    everyone = at
  elseif kind == SESSION then
    call('HSET', SESSIONS, 'e' .. name, whole(at))
  elseif kind == SUPERSEDING then
    call('HSET', SESSIONS, 's' .. name, whole(at))
  end
end

-- Moves the index of the subject's families to a key that names their cutoff. The
-- cutoff is not deleted as long as one of these families exists.
local function append_subject(subject, reborn)
  local families = index(subject)
  append(SUBJECT, subject)
  if reborn then call('ZREM', families, reborn.id) end
  if call('EXISTS', families) == 1 then
    local old = PREFIX .. 'o:' .. whole(head) .. ':' .. subject
    call('RENAME', families, old)
    call('PERSIST', old)
  end
  call('HSET', SUBJECTS, subject, whole(head))
  call('RPUSH', FORGET, pack('>I8I8', now, head) .. subject)
  cutoffs[subject] = head
end

-- The server expires an index a week after its last family. Without that week, a
-- clock that is ahead for a while would make the server expire the index of
-- families that are alive once the clock is right again, and append_subject would
-- not find them.
local WEEK = 7 * 24 * 3600 * 1000
local function list(f)
  local families = index(f.subject)
  local ttl = call('PTTL', families)
  call('ZADD', families, whole(f.started), f.id)
  if ttl < f.absolute + WEEK - now then call('PEXPIREAT', families, whole(f.absolute + WEEK)) end
end

-- Ends a session. An absent one has no raw record.
local function finish(f)
  if f.raw then
    f.flags = f.flags + 2
    write(f)
    call('ZREM', index(f.subject), f.id)
  end
  append(SESSION, f.id)
end

local function save() call('HSET', LOG, 'head', whole(head), 'everyone', whole(everyone)) end
