-- token, holder, nonce, key, kind, fingerprint, payload
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local old = redis.call('HGET', records, ARGV[4])
if not old or nonces(old) ~= ARGV[3] then
  record(ARGV[4], ARGV[3], '-', ARGV[5], ARGV[6], ARGV[7])
end
return {'done'}
