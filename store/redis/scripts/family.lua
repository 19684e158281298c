-- The record of a family, as record.go describes it.
local VERSION = 3
local RECORD = '>BBBBI8I8I8I4I2I2I8I8I8I8I8c20Bc0Bc0Bc0I2c0I2c0'
local DETAILS = '>I8Bc0Bc0Bc0Bc0Bc0Bc0'
local ABSENT, ENDED, CUTOFF, ALIVE = 0, 1, 2, 3
local UNWRITTEN, WRITTEN, BEHIND, EARLY, FULL, TAKEN, OFF_CLOCK, CHANGED, AGAIN = 0, 1, 2, 3, 4, 5, 6, 7, 8
local COUNTS = 2 -- of f.bound: the key is asked for. 1 is a key that does not count yet
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
  if string.byte(raw) ~= VERSION then
    error('a family of version ' .. string.byte(raw) .. ', and this program knows ' .. VERSION ..
      ': stop the nodes of the other release, and delete the keys ' .. PREFIX .. 'f:*')
  end
  local _, native, ended, bound, birth, position, commit, generation, copy, used, started, authenticated, issued, idle, absolute,
    seal, subject, actor, label, packed, value, at = parse(RECORD, raw)
  must_end(at, raw)
  -- One constructor allocates the table once. It would grow with fields that are added
  -- one by one.
  return {id = id, raw = raw, native = native, ended = ended, bound = bound, birth = birth, position = position, commit = commit,
    generation = generation, copy = copy, used = used, started = started, authenticated = authenticated, issued = issued,
    idle = idle, absolute = absolute, seal = seal, subject = subject, actor = actor, label = label, packed = packed, value = value}
end

-- Unpacks what few families have and few calls need, and returns the family.
local function details(f)
  local at
  if f.names then return f end
  if f.packed == '' then
    f.keep, f.methods, f.level, f.names, f.key, f.first, f.successor = 0, '', '', '', '', '', ''
  else
    f.keep, f.methods, f.level, f.names, f.key, f.first, f.successor, at = parse(DETAILS, f.packed)
    must_end(at, f.packed)
  end
  return f
end

-- Whether a proof by a key, or by none, is enough.
local function proven(f, key) return f.bound < COUNTS or details(f).key == key end

-- Makes the family's key count if a proof by it was brought.
local function prove(f, key)
  if f.bound == 1 and details(f).key == key then f.bound = COUNTS end
end

local function deadline(f) return max(f.started, f.authenticated) + f.absolute end
local function past(f) return now >= f.issued + f.idle or now >= deadline(f) end

local function state(f)
  if not f then return ABSENT end
  if f.ended == 1 then return ENDED end
  if f.birth < max(cutoff(f.subject), everyone) or f.actor ~= '' and f.birth < cutoff(f.actor) then return CUTOFF end
  return ALIVE
end

local function lives(f) return state(f) == ALIVE and not past(f) end

-- Whether the last advance or copy is at least age ago. One that is further ahead of
-- the clock than skew counts as long ago: the clock was set back since.
local function long_ago(f, age, skew) return now - f.issued >= age or f.issued - now > skew end

-- Writes the record. The server expires one that has ended. Housekeeping removes the
-- others, since it removes them from the indexes too.
local function write(f)
  local key = PREFIX .. 'f:' .. f.id
  if f.names then
    f.packed = ''
    if f.keep > 0 or f.methods .. f.level .. f.names .. f.key .. f.first .. f.successor ~= '' then
      f.packed = pack(DETAILS, f.keep, #f.methods, f.methods, #f.level, f.level, #f.names, f.names, #f.key, f.key, #f.first, f.first,
        #f.successor, f.successor)
    end
  end
  f.raw = pack(RECORD, VERSION, f.native, f.ended, f.bound, f.birth, f.position, f.commit, f.generation, f.copy, f.used, f.started,
    f.authenticated, f.issued, f.idle, f.absolute, f.seal, #f.subject, f.subject, #f.actor, f.actor, #f.label, f.label,
    #f.packed, f.packed, #f.value, f.value)
  if f.ended == 0 then
    call('SET', key, f.raw)
    return
  end
  local known_until = max(math.min(f.issued + f.idle, deadline(f)), details(f).keep)
  if known_until > now then
    call('SET', key, f.raw, 'PXAT', whole(known_until))
  else
    call('DEL', key)
  end
end

local function answer(outcome, f, entry, count, more, as)
  return pack('>BBI8I8I8I4BI8', outcome, as or state(f), head, floor, entry or 0, count or 0, more and 1 or 0, now) .. row[1] ..
    (f and f.raw or '')
end
