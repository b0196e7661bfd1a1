-- Begins a run that does not exist.
-- Arguments: id, holder, ttl, workflow, fields..
local moment = now()
if redis.call('HGET', run, 'holder') == ARGV[2] then
  -- An earlier attempt of this call took the lease, but its answer was lost. So the owner has written nothing yet.
  bind(run)
  return journal('held', moment)
end
if redis.call('EXISTS', run) == 1 then
  return summary('there', moment)
end
-- The server has evicted a part of the run.
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
