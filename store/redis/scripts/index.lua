-- The indexes of the families that have not ended: of everybody, of each subject, each
-- actor and each name. All members have the score 0, so the server orders them by
-- their bytes: the birth, the start and the id.
local LIVING = PREFIX .. 'living'
local CHUNK, ID = 128, 15 -- where the id begins in a member

local function index(subject) return PREFIX .. 'i:' .. subject end
local function index_of_actor(actor) return PREFIX .. 'a:' .. actor end
local function index_of_name(name) return PREFIX .. 'n:' .. name end

local function member(f) return pack('>I8I6', f.birth, f.started) .. f.id end

-- Calls each with the key of every index that holds a family.
local function every_index(f, each)
  each(LIVING)
  each(index(f.subject))
  if f.actor ~= '' then each(index_of_actor(f.actor)) end
  local names = details(f).names
  for at = 1, #names, 32 do each(index_of_name(string.sub(names, at, at + 31))) end
end

local function list(f)
  local m = member(f)
  every_index(f, function(key) call('ZADD', key, '0', m) end)
end

local function unlist(f)
  local m = member(f)
  every_index(f, function(key) call('ZREM', key, m) end)
end

-- Removes a family that time or a cutoff has killed. If its id must stay known, it is
-- ended without an entry.
local function bury(f)
  unlist(f)
  if f.keep > now then
    f.ended = 1
    write(f)
  else
    call('DEL', PREFIX .. 'f:' .. f.id)
  end
end

-- Removes a dead member of an index. f is its record, or nil if the record is lost.
local function take_out(key, m, f)
  if f and f.ended == 0 then bury(f) else call('ZREM', key, m) end
end

-- Calls each with the id and the bytes of an index's members below a place, the
-- highest first, down to the birth lowest, until each returns true.
local function walk(key, below, lowest, each)
  local low = '[' .. pack('>I8', lowest)
  while true do
    local chunk = call('ZREVRANGEBYLEX', key, below, low, 'LIMIT', 0, CHUNK)
    for _, m in ipairs(chunk) do
      if each(string.sub(m, ID), m) then return end
    end
    if #chunk < CHUNK then return end
    below = '(' .. chunk[CHUNK]
  end
end
