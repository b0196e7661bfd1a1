-- id, holder, ttl, workflow, fields.. -- begins a run where there is none.
local moment = now()
if redis.call('HGET', run, 'holder') == ARGV[2] then
  -- Nothing was written under it yet: its owner has not heard of it.
  bind(run)
  return journal('held', moment)
end
if redis.call('EXISTS', run) == 1 then
  return summary('there', moment)
end
-- The rest of a run that the server has thrown away.
if redis.call('EXISTS', records, waits) > 0 then
  return {'torn'}
end
local place = whole(redis.call('INCR', base .. 'sequence'))
redis.call('HSET', run, 'token', 1, 'holder', ARGV[2], 'until', whole(moment + ARGV[3]), 'created', whole(moment),
  'rank', whole(moment), 'place', place, 'dropped', 0, 'workflow', ARGV[4], unpack(ARGV, 5))
bind(run)
redis.call('ZADD', base .. 'runs', place, ARGV[1])
hold(ARGV[1], {}, moment + ARGV[3])
return journal('held', moment)
