-- One bounded step of housekeeping. The first write of each part needs no memory, so
-- that a server that is out of memory can recover.
local STEPS = 128
local ENTRIES, SESSIONS, SUBJECTS, FORGET = PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects', PREFIX .. 'forget'
local place, rest = parse('>Bc0', ARGV[1])
must_end(rest, ARGV[1])
local announced = call('HMGET', LOG, 'access', 'absolute', 'leeway')
local access, absolute, leeway = tonumber(announced[1]), tonumber(announced[2]), tonumber(announced[3])
local more = 0
call('EXISTS', PREFIX .. 'nothing') -- see append.lua
call('HLEN', SESSIONS)
call('HLEN', SUBJECTS)

-- Drop old entries in order, and none after one that must stay: the clock may have
-- jumped. The cutoffs of their sessions and names go with them.
if access > 0 then -- otherwise no node has announced yet how long a cookie can live
  local dropped, dropped_id, n = 0, nil, 0
  for _, e in ipairs(call('XRANGE', ENTRIES, '-', '+', 'COUNT', STEPS)) do
    local at, _, time, kind, id, name = parse('>I8I8I8Bc16Bc0', e[2][2])
    if time >= now - access - leeway then break end
    dropped, dropped_id, n = at, id, n + 1
    local field = kind == 3 and 'e' .. name or kind == 4 and 's' .. name or kind == 5 and 'n' .. name
    if field and tonumber(call('HGET', SESSIONS, field) or 0) == at then call('HDEL', SESSIONS, field) end
    if kind == 5 then call('HDEL', SESSIONS, 'r' .. id) end
  end
  if n > 0 then
    call('XTRIM', ENTRIES, 'MINID', '=', whole(dropped + 1) .. '-0')
    call('HSET', LOG, 'floor', whole(dropped), 'floor_id', dropped_id)
    floor = dropped
  end
  if n == STEPS then more = 1 end
end

-- Returns whether a family is still below a cutoff of the subject, or nil if that
-- takes too many steps. A family that is past its limits is removed for good: the clock
-- may be ahead, and it must not come back after the cutoff.
local steps = 0
local function cuts_off(subject, at)
  for _, key in ipairs({index(subject), index_of_actor(subject)}) do
    while true do
      local m = call('ZRANGE', key, 0, 0)[1]
      if not m or parse('>I8', m) >= at then break end
      steps = steps + 1
      if steps > STEPS then return nil end
      local f = read(string.sub(m, ID))
      if f and f.ended == 0 and not past(f) then return true end
      take_out(key, m, f)
    end
  end
  return false
end

-- Forget subjects' cutoffs that no family can be below any more. One that must stay is
-- looked at again after the others.
if absolute > 0 then
  local before = now - max(absolute, access) - leeway
  for _, subject in ipairs(call('ZRANGEBYSCORE', FORGET, '-inf', '(' .. whole(before), 'LIMIT', 0, STEPS)) do
    local at = tonumber(call('HGET', SUBJECTS, subject) or 0)
    local stays = at > floor or cuts_off(subject, at)
    if stays == nil then break end
    call('ZREM', FORGET, subject)
    if stays then
      call('ZADD', FORGET, whole(before), subject)
    else
      call('HDEL', SUBJECTS, subject)
    end
    steps = steps + 1
    if steps > STEPS then break end
  end
  if steps > STEPS then more = 1 end
end

-- Remove families that are past their limits, those that were born first at first. Each
-- call goes on where the node's last one ended. If many were, the next one follows soon.
local members = call('ZRANGEBYLEX', LIVING, place == '' and '-' or '(' .. place, '+', 'LIMIT', 0, STEPS)
local removed = 0
for _, m in ipairs(members) do
  local f = read(string.sub(m, ID))
  if not f or f.ended == 1 or past(f) then
    take_out(LIVING, m, f)
    removed = removed + 1
  end
end
if removed >= STEPS / 4 then more = 1 end
place = #members == STEPS and members[STEPS] or ''
return pack('>BBc0', more, #place, place)
