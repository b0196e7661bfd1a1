-- Releases a lease.
-- Arguments: token, holder, id. The token is empty if the lease did not arrive, so that the store does not know the
-- token.
local lease = redis.call('HMGET', run, 'token', 'holder')
if lease[2] == ARGV[2] and (ARGV[1] == '' or lease[1] == ARGV[1]) then
  redis.call('HDEL', run, 'holder', 'owner', 'until')
  list(run, ARGV[3], now())
end
tell()
return {'done'}
