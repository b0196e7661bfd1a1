-- token, holder, nonce, id, prefix of members, wake, whether the owner was cancelling it, number of keys, keys that are waited on.., fields..
if redis.call('HGET', run, 'finished_by') == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local moment, wake, fields = now(), ARGV[6], 9 + ARGV[8]
for at = 9, fields - 1 do
  if redis.call('HEXISTS', records, ARGV[at]) == 1 then
    wake = whole(moment)
  end
end
local asked, cancelling = redis.call('HEXISTS', run, 'cancel') == 1, ARGV[7] == '1'
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake', 'cancel', 'holder', 'until')
redis.call('HSET', run, 'finished_by', ARGV[3], 'changed', whole(moment), unpack(ARGV, fields))
-- A request to cancel the run stays until the run has ended.
if (asked or cancelling) and redis.call('HGET', run, 'status') == 'waiting' then
  redis.call('HSET', run, 'cancel', 1)
  if not cancelling then
    wake = whole(moment)
  end
end
if wake ~= '-' then
  redis.call('HSET', run, 'wake', wake)
end
index_due(ARGV[4])
index_asking(ARGV[5])
tell()
return {'done'}
