local id, generation, copy, native, basis, age, lag, skew, position_only, key, at = parse('>c16I4I2BI8I8I2I8BBc0', ARGV[1])
must_end(at, ARGV[1])
local f = read(id)
if not lives(f) or f.generation ~= generation or f.native ~= native or not proven(f, key) or position_only == 0 and
  (copy > f.copy or not (long_ago(f, age, skew) or lag > 0 and f.copy - copy >= lag)) then return answer(UNWRITTEN, f) end
if basis < f.commit then return answer(BEHIND, f) end
f.position = max(f.position, head)
prove(f, key)
if position_only == 0 then
  f.generation, f.copy, f.used, f.issued = f.generation + 1, 0, copy, now
end
write(f)
return answer(WRITTEN, f)
