-- Renews a lease.
-- Arguments: token, holder, id, ttl
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local moment, found = now(), redis.call('HMGET', run, 'queue', 'key', 'cancel')
local ends = moment + ARGV[4]
redis.call('HSET', run, 'until', whole(ends))
if hold(ARGV[3], {queue = found[1], key = found[2]}, ends) then
  unlist(ARGV[3], placed(run))
end
return {'done', whole(moment), found[3]}
