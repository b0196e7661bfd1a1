-- Returns the state on which an answer to an entry depends.
-- Arguments: key
local key = ARGV[1]
return {'there', whole(now()), redis.call('HGET', run, 'status'), redis.call('HGET', waits, key),
  redis.call('HEXISTS', records, key)}
