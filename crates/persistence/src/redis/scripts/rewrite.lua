-- token, holder, nonce, version, (key, kind, fingerprint, payload)..
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
if redis.call('HGET', run, 'mark') == ARGV[3] then
  return {'done'}
end
redis.call('HLEN', records)
redis.call('UNLINK', records)
redis.call('HSET', run, 'version', ARGV[4], 'mark', ARGV[3])
for at = 5, #ARGV, 4 do
  record(ARGV[at], ARGV[3], '-', ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
return {'done'}
