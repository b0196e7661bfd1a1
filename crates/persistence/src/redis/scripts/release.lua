-- token or nothing, holder, id -- nothing: the lease did not arrive, so that its token is not known.
local lease = redis.call('HMGET', run, 'token', 'holder')
if lease[2] == ARGV[2] and (ARGV[1] == '' or lease[1] == ARGV[1]) then
  redis.call('HDEL', run, 'holder', 'owner', 'until')
  list(run, ARGV[3], now())
end
tell()
return {'done'}
