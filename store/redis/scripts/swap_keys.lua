local version, at = parse('>I8', ARGV[1])
must_end(at, ARGV[1])
local kept = tonumber(call('HGET', LOG, 'keys_version'))
if kept ~= version and kept ~= 0 then return 0 end -- the first may have any version
call('HSET', LOG, 'keys_version', whole(version + 1), 'keys', ARGV[2])
return 1
