-- Runs every command that the scripts use, and XREAD, on keys of its own, and always
-- removes them. A user that lacks a right is refused here, and not in the middle of a
-- script.
local PREFIX = string.sub(KEYS[1], 1, -4)
local a, b = PREFIX .. 'rights', PREFIX .. 'rights-too'
redis.call('DEL', a, b)
local refused
local function call(...)
  if refused then return end
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then refused = reply end
end
call('TIME')
call('TYPE', a)
call('EXISTS', a)
call('HMGET', a, 'x')
call('HGET', a, 'x')
call('HSET', a, 'x', '1')
call('HEXISTS', a, 'x')
call('HLEN', a)
call('HDEL', a, 'x')
call('XADD', a, '1-0', 'x', '1')
call('XLEN', a)
call('XRANGE', a, '-', '+', 'COUNT', 1)
call('XREVRANGE', a, '+', '-', 'COUNT', 1)
call('XREAD', 'COUNT', 1, 'STREAMS', a, '0')
call('XTRIM', a, 'MINID', '=', '1-0')
call('RENAME', a, b)
call('UNLINK', b)
call('ZADD', a, '1', 'x')
call('ZCARD', a)
call('ZCOUNT', a, '-inf', '+inf')
call('ZRANGE', a, 0, 0)
call('ZREVRANGE', a, 0, 0)
call('ZRANDMEMBER', a, 1)
call('PTTL', a)
call('PEXPIREAT', a, '9999999999999')
call('PERSIST', a)
call('ZREM', a, 'x')
call('RPUSH', a, 'x')
call('LLEN', a)
call('LINDEX', a, 0)
call('LPOP', a)
call('GET', a)
call('SET', a, 'x', 'PXAT', '9999999999999')
call('UNLINK', a)
redis.call('DEL', a, b)
return refused or 1
