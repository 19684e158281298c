-- Reads a bounded part of a subject's families, newest first. It continues where the
-- last call ended: score is the last one that was scanned, and ties is the number of
-- scanned families with that score. The reply holds the new place, and the records.
local MOST = 4096
local subject, limit, more, score, ties = parse('>Bc0I4BI8I4', ARGV[1])
local key = index(subject)
local at = 0
if more == 1 then at = call('ZCOUNT', key, '(' .. whole(score), '+inf') + ties end
local found, ids, scanned = {}, {}, 0
while scanned < MOST and #found < limit do
  local chunk = call('ZREVRANGE', key, at, at + 127, 'WITHSCORES')
  for i = 1, #chunk, 2 do
    local started = tonumber(chunk[i + 1])
    if more == 1 and started == score then ties = ties + 1 else more, score, ties = 1, started, 1 end
    local f = read(chunk[i])
    if #found < limit and f and lives(f) then found[#found + 1] = chunk[i] .. f.raw end
  end
  at, scanned = at + #chunk / 2, scanned + #chunk / 2
  if #chunk < 256 then
    more = 2 -- the end
    break
  end
end
if #found >= limit then more = 2 end
return {pack('>BI8I4', more, score, ties), unpack(found)}
