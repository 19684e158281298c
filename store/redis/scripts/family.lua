-- The record of a family, as record.go describes it.
local VERSION = 2
local RECORD = '>BBI8I8I8I4I2I2I8I8I8I8I8Bc0Bc0I2c0'
local ABSENT, ENDED, CUTOFF, ALIVE = 0, 1, 2, 3
local UNWRITTEN, WRITTEN, BEHIND, EARLY, FULL, TAKEN = 0, 1, 2, 3, 4, 5
local cutoffs = {} -- of the subjects read so far

local function cutoff(subject)
  local at = cutoffs[subject]
  if not at then
    at = tonumber(call('HGET', PREFIX .. 'subjects', subject) or 0)
    cutoffs[subject] = at
  end
  return at
end

local function read(id)
  local raw = call('GET', PREFIX .. 'f:' .. id)
  if not raw then return nil end
  local version, flags, birth, position, commit, generation, copy, used, started, authenticated, issued, idle, absolute,
    subject, label, value = parse(RECORD, raw)
  if version ~= VERSION then
    error('a family of version ' .. version .. ', and this program knows ' .. VERSION ..
      ': stop the nodes of the other release, and delete the keys ' .. PREFIX .. 'f:*')
  end
  -- One constructor allocates the table once. It would grow with fields that are added
  -- one by one.
  return {id = id, raw = raw, flags = flags, birth = birth, position = position, commit = commit, generation = generation,
    copy = copy, used = used, started = started, authenticated = authenticated, issued = issued, idle = idle,
    absolute = absolute, subject = subject, label = label, value = value}
end

local function ended(f) return f.flags >= 2 end

local function state(f)
  if not f then return ABSENT end
  if ended(f) then return ENDED end
  if f.birth < max(cutoff(f.subject), everyone) then return CUTOFF end
  return ALIVE
end

-- Whether the last advance or copy is at least age ago. One that is further ahead of
-- the clock than skew counts as long ago: the clock was set back since.
local function long_ago(f, age, skew) return now - f.issued >= age or f.issued - now > skew end

local function past(f) return now >= f.issued + f.idle or now >= f.absolute end
local function lives(f) return state(f) == ALIVE and not past(f) end

-- Writes the record, which the server expires at the family's deadline.
local function write(f)
  local key = PREFIX .. 'f:' .. f.id
  f.raw = pack(RECORD, VERSION, f.flags, f.birth, f.position, f.commit, f.generation, f.copy, f.used, f.started, f.authenticated,
    f.issued, f.idle, f.absolute, #f.subject, f.subject, #f.label, f.label, #f.value, f.value)
  local deadline = math.min(f.issued + f.idle, f.absolute)
  if deadline > now then
    call('SET', key, f.raw, 'PXAT', whole(deadline))
  else
    call('DEL', key)
  end
end

-- The key of the index of a subject's living families, ordered by their start. It
-- contains everyone's cutoff: after everyone is revoked, no family in an older index
-- is alive.
local function index(subject) return PREFIX .. 'i:' .. whole(everyone) .. ':' .. subject end

local function answer(outcome, f, entry)
  return pack('>BBI8I8I8I8', outcome, state(f), head, floor, entry or 0, now) .. row[1] .. (f and f.raw or '')
end
