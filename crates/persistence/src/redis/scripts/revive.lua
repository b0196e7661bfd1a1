-- Sets a run to running, and drops records.
-- Arguments: token, holder, nonce, id, keys to drop..
if redis.call('HGET', run, 'mark') == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
for at = 5, #ARGV do
  drop(redis.call('HDEL', records, ARGV[at]))
end
-- The run is executed from its beginning, so it finds the messages so far.
redis.call('HDEL', base .. 'mail/' .. ARGV[4], 'new')
local moment, before = now(), redis.call('HMGET', run, 'status', 'queue', 'unique')
forget_key(ARGV[4], before[2], before[3])
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake')
redis.call('HSET', run, 'status', 'running', 'changed', whole(moment), 'mark', ARGV[3])
list(run, ARGV[4], moment)
if has_ended(before[1]) then
  redis.call('HDEL', run, 'crashes')
  each_entry(ARGV[4], redis.call('HGETALL', waits), ask)
end
tell()
return {'done'}
