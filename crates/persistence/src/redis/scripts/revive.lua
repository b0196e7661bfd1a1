-- token, holder, nonce, id, prefix of members, keys to drop..
if redis.call('HGET', run, 'mark') == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
for at = 6, #ARGV do
  drop(redis.call('HDEL', records, ARGV[at]))
end
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake')
redis.call('HSET', run, 'status', 'running', 'changed', whole(now()), 'mark', ARGV[3])
index_due(ARGV[4])
index_asking(ARGV[5])
tell()
return {'done'}
