-- Adds an entry that waits for an answer.
-- Arguments: token, holder, nonce, key, member, milliseconds until it expires or `-`, length of the token, token and
-- request
local old, entry = redis.call('HGET', records, ARGV[4]), redis.call('HGET', waits, ARGV[4])
local _, asked
if old then
  _, asked = nonces(old)
elseif entry then
  _, asked = expiry(entry)
end
-- An earlier attempt of this write asked the question. The entry may have an answer since.
if asked == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
if old or entry then
  return {old and 'recorded' or 'done'}
end
local moment = now()
local expires = ARGV[6] == '-' and '-' or whole(moment + ARGV[6])
entry = table.concat({whole(moment), expires, ARGV[3], ARGV[7], ARGV[8]}, ' ')
redis.call('HSET', waits, ARGV[4], entry)
if not has_ended(redis.call('HGET', run, 'status')) then
  ask(ARGV[5], entry)
end
return {'done'}
