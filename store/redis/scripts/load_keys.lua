local keys = call('HMGET', LOG, 'keys_version', 'keys')
return pack('>I8', tonumber(keys[1])) .. keys[2]
