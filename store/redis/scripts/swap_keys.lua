if tonumber(call('HGET', LOG, 'keys_version')) ~= parse('>I8', ARGV[1]) then return 0 end
call('HSET', LOG, 'keys_version', whole(parse('>I8', ARGV[1]) + 1), 'keys', ARGV[2])
return 1
