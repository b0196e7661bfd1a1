-- Records an outcome under a new key.
-- Arguments: token, holder, nonce, key, kind, fingerprint, payload
local old = redis.call('HGET', records, ARGV[4])
if old and nonces(old) == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
if old then
  return {'recorded'}
end
record(ARGV[4], ARGV[3], '-', ARGV[5], ARGV[6], ARGV[7])
return {'done'}
