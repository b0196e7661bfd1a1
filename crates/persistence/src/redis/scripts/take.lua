-- id, holder, ttl, what was seen.., owner -- takes a run that is as it was when that was decided.
local moment = now()
local seen = redis.call('HMGET', run, 'place', 'token', 'status', 'version', 'until', 'holder', 'recorded')
if seen[6] == ARGV[2] then
  -- An earlier attempt of this call took the lease, but its answer was lost. So the owner has written nothing yet.
  bind(run)
  return journal('held', moment)
end
for at = 1, 6 do
  if (seen[at] or '') ~= ARGV[3 + at] then
    return summary('changed', moment)
  end
end
if is_torn() then
  return {'torn'}
end
if redis.call('HEXISTS', run, 'dropped') == 0 then
  count_anew()
end
redis.call('HINCRBY', run, 'token', 1)
redis.call('HSET', run, 'holder', ARGV[2], 'owner', ARGV[10], 'until', whole(moment + ARGV[3]), 'recorded_before',
  seen[7] or 0)
bind(run)
list(run, ARGV[1], moment)
return journal('held', moment)
