-- Restarts a run, as `Header::restart` in core.
-- Arguments: token, holder, nonce, id, (input, fingerprint) or nothing
if redis.call('HGET', run, 'restarted_by') == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local moment, id, found = now(), ARGV[4], placed(run)
local entries, priority = redis.call('HGETALL', waits), tonumber(redis.call('HGET', run, 'priority') or 0)
if not unhold(id, found) then
  unlist(id, found)
end
each_entry(id, entries, unask)
forget_key(id, found.queue, redis.call('HGET', run, 'unique'))
redis.call('UNLINK', records, waits, base .. 'streams/' .. id)
redis.call('HDEL', base .. 'mail/' .. id, 'new')
count_anew()
redis.call('HDEL', run, 'holder', 'owner', 'until', 'outcome', 'error', 'failed_on', 'crashes', 'version', 'start_by',
  'unique')
redis.call('HSET', run, 'status', 'queued', 'changed', whole(moment), 'restarted_by', ARGV[3])
redis.call('HINCRBY', run, 'restarts', 1)
if ARGV[5] then
  redis.call('HSET', run, 'input', ARGV[5], 'fingerprint', ARGV[6])
end
found.status, found.version, found.holder, found['until'] = 'queued', nil, nil, nil
local rules, turns = rules_of((queue_of(found))), {}
requeue(id, found, priority, moment, rules, turns, moment)
keep_turns(turns)
tell()
return {'done'}
