-- token, holder, id, ttl
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local moment = now()
redis.call('HSET', run, 'until', whole(moment + ARGV[4]))
index_due(ARGV[3])
return {'done', whole(moment), redis.call('HGET', run, 'cancel')}
