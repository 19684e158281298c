-- Reads a page of the families of a subject, or of everybody, without their values.
-- The reply holds the place of the last row that was looked at, unless there are no
-- more, and the records.
local MOST = 1000
local subject, limit, after, at = parse('>Bc0I4Bc0', ARGV[1])
must_end(at, ARGV[1])
local key, lowest = LIVING, everyone
if subject ~= '' then key, lowest = index(subject), max(cutoff(subject), everyone) end
local found, looked, last, next = {}, 0, after, ''
walk(key, after ~= '' and '(' .. after or '+', lowest, function(id, m)
  if looked == MOST or #found == limit then
    next = last
    return true
  end
  looked, last = looked + 1, m
  local f = read(id)
  if lives(f) then found[#found + 1] = id .. string.sub(f.raw, 1, #f.raw - #f.value - 2) .. '\0\0' end
end)
return {pack('>I8Bc0', now, #next, next), unpack(found)}
