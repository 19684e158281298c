local id, basis, key, value, at
id, basis, key, value, above, seed, actor, at = parse('>c16I8Bc0I2c0I8c12Bc0', ARGV[1])
must_end(at, ARGV[1])
reason = 'commit'
touch()
local refused = too_far()
if refused then return refused end
local f = read(id)
if not lives(f) or not proven(f, key) then return answer(UNWRITTEN, f) end
if basis < f.commit then return answer(BEHIND, f) end
refused = no_room(1)
if refused then return refused end
append(SUPERSEDING, id)
f.position, f.commit, f.value = head, head, value
write(f)
save()
return answer(WRITTEN, f, head)
