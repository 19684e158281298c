-- NODES holds, for each node, its number in the order of the announcements, when it
-- announced itself, and what it announced.
local MOST, LIFE = 256, 180000
local NODES, NONE = PREFIX .. 'nodes', string.rep('\0', 16)
local durations = {}
local realm, ring, version, adopt, node, told, at
durations.access, durations.absolute, durations.leeway, durations.staleness, realm, ring, version, adopt, node, told, at =
  parse('>I8I8I8I8Bc0c16c8Bc16I2c0', ARGV[1])
must_end(at, ARGV[1])
local known = call('HMGET', LOG, 'realm', 'ring', 'ring_version')
local known_realm, known_ring, known_version = known[1] or '', known[2] or NONE, known[3] or string.rep('\0', 8)

-- A version has 64 bits, and a number here has 53.
local function above(a, b)
  local a1, a2 = parse('>I4I4', a)
  local b1, b2 = parse('>I4I4', b)
  return a1 > b1 or a1 == b1 and a2 > b2
end

local accepted = adopt == 1 or (known_realm == '' or realm == '' or known_realm == realm) and
  (known_ring == NONE or ring == NONE or known_ring == ring)
local others, lowest, lowest_number, newest, count = {}, nil, nil, 0, 0
local all = call('HGETALL', NODES)
for i = 1, #all, 2 do
  local other, number, seen = all[i], parse('>I8I8', all[i + 1])
  newest = max(newest, number)
  if other ~= node then
    count = count + 1
    if not lowest or number < lowest_number then lowest, lowest_number = other, number end
    if math.abs(now - seen) <= LIFE then others[#others + 1] = {number, other .. string.sub(all[i + 1], 17)} end
  end
end
table.sort(others, function(a, b) return a[1] < b[1] end)

if accepted then
  local fields = {}
  local announced = call('HMGET', LOG, 'access', 'absolute', 'leeway', 'staleness')
  for i, field in ipairs({'access', 'absolute', 'leeway', 'staleness'}) do
    fields[#fields + 1] = field
    fields[#fields + 1] = whole(max(durations[field], tonumber(announced[i])))
  end
  if realm ~= '' then known_realm = realm end
  if ring ~= NONE then
    if adopt == 1 or known_ring == NONE or above(version, known_version) then known_version = version end
    known_ring = ring
  end
  call('HSET', LOG, 'realm', known_realm, 'ring', known_ring, 'ring_version', known_version, unpack(fields))
  if node ~= NONE then
    if count == MOST then call('HDEL', NODES, lowest) end
    call('HSET', NODES, node, pack('>I8I8', newest + 1, now) .. told)
  end
end
local out = {pack('>BI8Bc0', accepted and 1 or 0, now, #known_realm, known_realm) .. known_ring .. known_version}
for i, other in ipairs(others) do out[i + 1] = other[2] end
return out
