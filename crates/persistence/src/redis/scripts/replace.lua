-- Records an outcome in place of the outcome under its key.
-- Arguments: token, holder, nonce, key, kind, fingerprint, payload
local old = redis.call('HGET', records, ARGV[4])
if old and nonces(old) == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
drop(old and 1 or 0)
record(ARGV[4], ARGV[3], '-', ARGV[5], ARGV[6], ARGV[7])
return {'done'}
