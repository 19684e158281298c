local id, key, verified, seal, counts, at = parse('>c16c32c20c20B', ARGV[1])
must_end(at, ARGV[1])
local f = read(id)
if not lives(f) then return answer(UNWRITTEN, f) end
if f.bound > 0 then
  if details(f).key ~= key or f.bound == COUNTS or counts == 0 then return answer(UNWRITTEN, f) end
elseif f.seal ~= verified then
  return answer(CHANGED, f)
else
  details(f).key, f.seal = key, seal
end
f.bound = 1 + counts
write(f)
return answer(WRITTEN, f)
