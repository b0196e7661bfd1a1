-- token, holder, nonce, key, kind, fingerprint, payload
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local old = redis.call('HGET', records, ARGV[4])
if old then
  return {nonces(old) == ARGV[3] and 'done' or 'recorded'}
end
record(ARGV[4], ARGV[3], '-', ARGV[5], ARGV[6], ARGV[7])
return {'done'}
