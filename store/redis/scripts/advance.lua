local id, generation, copy, is_native, basis, age, lag, skew, position_only = parse('>c16I4I2BI8I8I2I8B', ARGV[1])
local f = read(id)
if not lives(f) or f.generation ~= generation or f.flags ~= is_native or position_only == 0 and
  (copy > f.copy or not (long_ago(f, age, skew) or lag > 0 and f.copy - copy >= lag)) then return answer(UNWRITTEN, f) end
if basis < f.commit then return answer(BEHIND, f) end
f.position = max(f.position, head)
if position_only == 0 then
  f.generation, f.copy, f.used, f.issued = f.generation + 1, 0, copy, now
end
write(f)
return answer(WRITTEN, f)
