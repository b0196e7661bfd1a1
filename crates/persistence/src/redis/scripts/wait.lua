-- token, holder, nonce, key, member, expires in, length of the token, token and request
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local old = redis.call('HGET', records, ARGV[4])
if old then
  -- Asked by an earlier attempt of this write, and answered since.
  local _, asked = nonces(old)
  return {asked == ARGV[3] and 'done' or 'recorded'}
end
if redis.call('HEXISTS', waits, ARGV[4]) == 1 then
  return {'done'}
end
local moment = now()
local expires = ARGV[6] == '-' and '-' or whole(moment + ARGV[6])
redis.call('HSET', waits, ARGV[4], table.concat({whole(moment), expires, ARGV[3], ARGV[7], ARGV[8]}, ' '))
if not has_ended(redis.call('HGET', run, 'status')) then
  redis.call('ZADD', asking, whole(moment), ARGV[5])
end
return {'done'}
