-- Runs every command that the scripts use, and XREAD, on keys of its own, and always
-- removes them. A user that lacks a right is refused here, and not in the middle of a
-- script.
local PREFIX = string.sub(KEYS[1], 1, -4)
local a = PREFIX .. 'rights'
redis.call('DEL', a)
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
call('HGETALL', a)
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
call('UNLINK', a)
call('ZADD', a, '0', 'x')
call('ZCARD', a)
call('ZLEXCOUNT', a, '-', '+')
call('ZRANGE', a, 0, 0)
call('ZRANGEBYLEX', a, '-', '+')
call('ZREVRANGEBYLEX', a, '+', '-')
call('ZRANGEBYSCORE', a, '-inf', '+inf')
call('ZREM', a, 'x')
call('GET', a)
call('SET', a, 'x', 'PXAT', '9999999999999')
redis.call('DEL', a)
return refused or 1
