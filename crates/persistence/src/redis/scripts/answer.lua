-- id, nonce, key, member, the status and the entry that were seen, kind, payload
local old = redis.call('HGET', records, ARGV[3])
if old and nonces(old) == ARGV[2] then
  return {'done'}
end
local status, entry = redis.call('HGET', run, 'status'), redis.call('HGET', waits, ARGV[3])
if old or status ~= ARGV[5] or entry ~= ARGV[6] then
  return {'changed'}
end
local moment, expires = now(), expiry(entry)
if expires and expires <= moment then
  return {'changed'}
end
settle(ARGV[3], ARGV[4], entry, ARGV[2], ARGV[7], '-', ARGV[8])
if status == 'waiting' then
  redis.call('HSET', run, 'wake', whole(moment))
  list(run, ARGV[1], moment)
end
tell()
return {'done'}
