local id, generation = parse('>c16I4', ARGV[1])
local f = read(id)
if not lives(f) or f.forgiven ~= 0 or f.generation - 1 ~= generation then return answer(UNWRITTEN, f) end
f.forgiven, f.issued = generation, now
write(f)
return answer(WRITTEN, f)
