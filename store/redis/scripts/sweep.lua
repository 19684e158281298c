-- One bounded step of housekeeping. The first write of each part needs no memory, so
-- that a server that is out of memory can recover.
local STEPS = 128
local ENTRIES, SESSIONS, SUBJECTS, FORGET = PREFIX .. 'entries', PREFIX .. 'sessions', PREFIX .. 'subjects', PREFIX .. 'forget'
local announced = call('HMGET', LOG, 'access', 'absolute', 'leeway')
local access, absolute, leeway = tonumber(announced[1]), tonumber(announced[2]), tonumber(announced[3])
local more = 0
call('EXISTS', PREFIX .. 'nothing') -- see append.lua
call('HLEN', SESSIONS)
call('HLEN', SUBJECTS)

-- Drop old entries in order, and none after one that must stay: the clock may have
-- jumped.
if access > 0 then -- otherwise no node has announced yet how long a cookie can live
  local dropped, n = 0, 0
  for _, e in ipairs(call('XRANGE', ENTRIES, '-', '+', 'COUNT', STEPS)) do
    local at, _, time, kind, _, _, name = parse('>I8I8I8Bc12I4Bc0', e[2][2])
    if time >= now - access - leeway then break end
    dropped, n = at, n + 1
    local field = kind == 3 and 'e' .. name or kind == 4 and 's' .. name
    if field and tonumber(call('HGET', SESSIONS, field) or 0) == at then call('HDEL', SESSIONS, field) end
  end
  if n > 0 then
    call('XTRIM', ENTRIES, 'MINID', '=', whole(dropped + 1) .. '-0')
    call('HSET', LOG, 'floor', whole(dropped))
  end
  if n == STEPS then more = 1 end
end

-- Delete subjects' cutoffs that no family can be below any more, in order. If the
-- clock jumps, a family that has expired may come back when the clock jumps again,
-- unless it was read in between, which removes it. Therefore each family under a
-- cutoff is read before the cutoff is deleted.
if absolute > 0 then
  local before = now - max(absolute, access) - leeway
  local steps = 0
  while steps < STEPS do
    local first = call('LINDEX', FORGET, 0)
    if not first then break end
    local time, at, rest = parse('>I8I8', first)
    if time >= before then break end
    local subject = string.sub(first, rest)
    local old = PREFIX .. 'o:' .. whole(at) .. ':' .. subject
    local members = call('ZRANGE', old, 0, STEPS - 1)
    local stays = false
    for _, id in ipairs(members) do
      steps = steps + 1
      local f = read(id)
      if f and not ended(f) and f.birth < at and f.birth >= everyone then
        stays = true
        break
      end
      call('ZREM', old, id)
    end
    if stays then break end
    if #members < STEPS then
      if tonumber(call('HGET', SUBJECTS, subject) or 0) == at then call('HDEL', SUBJECTS, subject) end
      call('LPOP', FORGET)
    end
    steps = steps + 1
  end
  if steps >= STEPS then more = 1 end
end
return more
