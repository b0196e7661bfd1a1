-- id, nonce, prefix of members, whether it is marked without an undo, the key that says that it is too late
local field = redis.call('HMGET', run, 'status', 'holder', 'until', 'cancelled_by', 'cancel')
if not field[1] then
  return {'none'}
end
-- Carried out before, with this answer. The run may be another's since, and is not cancelled once more.
for _, answer in ipairs({'marked', 'requested'}) do
  if field[4] == answer .. ' ' .. ARGV[2] then
    return {answer}
  end
end
if has_ended(field[1]) then
  return {'ended', field[1]}
end
local moment = now()
if ARGV[4] == '0' then
  -- A request that came before the declaration stands.
  if not field[5] and redis.call('HEXISTS', records, ARGV[5]) == 1 then
    return {'too late'}
  end
  redis.call('HSET', run, 'cancel', 1, 'cancelled_by', 'requested ' .. ARGV[2])
  if field[1] == 'waiting' then
    redis.call('HSET', run, 'wake', whole(moment))
  end
  index_due(ARGV[1])
  tell()
  return {'requested'}
end
if field[2] and tonumber(field[3]) > moment then
  return {'held'}
end
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake', 'cancel', 'holder', 'until')
redis.call('HSET', run, 'status', 'cancelled', 'changed', whole(moment), 'cancelled_by', 'marked ' .. ARGV[2])
index_due(ARGV[1])
index_asking(ARGV[3])
tell()
return {'marked'}
