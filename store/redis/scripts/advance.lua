local id, generation, is_native, basis, age, position_only = parse('>c16I4BI8I8B', ARGV[1])
local f = read(id)
if not lives(f) or f.generation ~= generation or f.flags ~= is_native or
  position_only == 0 and now - f.issued < age then return answer(UNWRITTEN, f) end
if basis < f.commit then return answer(BEHIND, f) end
f.position = max(f.position, head)
if position_only == 0 then
  f.generation, f.issued = f.generation + 1, now
end
write(f)
return answer(WRITTEN, f)
