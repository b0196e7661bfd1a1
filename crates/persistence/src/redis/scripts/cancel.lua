-- id, nonce, prefix of members
local field = redis.call('HMGET', run, 'status', 'holder', 'until', 'mark')
if not field[1] then
  return {'none'}
end
if field[4] == ARGV[2] then
  return {'now'}
end
if has_ended(field[1]) then
  return {'ended', field[1]}
end
local moment = now()
if field[2] and tonumber(field[3]) > moment then
  redis.call('HSET', run, 'cancel', 1)
  tell()
  return {'requested'}
end
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake', 'cancel', 'holder', 'until')
redis.call('HSET', run, 'status', 'cancelled', 'changed', whole(moment), 'mark', ARGV[2])
index_due(ARGV[1])
index_asking(ARGV[3])
tell()
return {'now'}
