local raised = {}
raised.access, raised.absolute, raised.leeway, raised.staleness = parse('>I8I8I8I8', ARGV[1])
for field, to in pairs(raised) do
  if to > tonumber(call('HGET', LOG, field)) then call('HSET', LOG, field, whole(to)) end
end
return 1
