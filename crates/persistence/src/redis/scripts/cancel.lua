-- id, nonce, prefix of members
local field = redis.call('HMGET', run, 'status', 'holder', 'until', 'cancelled_by')
if not field[1] then
  return {'none'}
end
-- Carried out before, with this answer. The run may be another's since, and is not cancelled once more.
for _, answer in ipairs({'now', 'requested'}) do
  if field[4] == answer .. ' ' .. ARGV[2] then
    return {answer}
  end
end
if has_ended(field[1]) then
  return {'ended', field[1]}
end
local moment = now()
if field[2] and tonumber(field[3]) > moment then
  redis.call('HSET', run, 'cancel', 1, 'cancelled_by', 'requested ' .. ARGV[2])
  tell()
  return {'requested'}
end
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake', 'cancel', 'holder', 'until')
redis.call('HSET', run, 'status', 'cancelled', 'changed', whole(moment), 'cancelled_by', 'now ' .. ARGV[2])
index_due(ARGV[1])
index_asking(ARGV[3])
tell()
return {'now'}
