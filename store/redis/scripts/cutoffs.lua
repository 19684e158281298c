local session, subject, rest = parse('>c16Bc0', ARGV[1])
must_end(rest, ARGV[1])
local at = call('HMGET', PREFIX .. 'sessions', 'e' .. session, 's' .. session)
local cutoff = call('HGET', PREFIX .. 'subjects', subject)
local staleness = call('HGET', LOG, 'staleness')
return pack('>I8I8I8I8I8I8I8I8', tonumber(at[1] or 0), tonumber(at[2] or 0), tonumber(cutoff or 0), everyone, floor, head,
  now, tonumber(staleness)) .. row[1]
