local MAX_COPY = 4095
local id, generation, copy, native, basis, age, skew, key, at = parse('>c16I4I2BI8I8I8Bc0', ARGV[1])
must_end(at, ARGV[1])
local f = read(id)
if not lives(f) or f.generation ~= generation + 1 or f.used ~= copy or f.native ~= native or not proven(f, key) or
  f.copy >= MAX_COPY or not long_ago(f, age, skew) then return answer(UNWRITTEN, f) end
if basis < f.commit then return answer(BEHIND, f) end
f.position, f.copy, f.issued = max(f.position, head), f.copy + 1, now
prove(f, key)
write(f)
return answer(WRITTEN, f)
