-- Cancels a run.
-- Arguments: id, nonce, whether to cancel the run without an undo, the key of the record that declares it too late
local field = redis.call('HMGET', run, 'status', 'holder', 'until', 'cancelled_by', 'cancel', 'parent', 'queue',
  'unique')
if not field[1] then
  return {'none'}
end
-- An earlier attempt of this call had this answer. Another owner may have taken the run since, so this attempt changes
-- nothing.
for _, answer in ipairs({'marked', 'requested'}) do
  if field[4] == answer .. ' ' .. ARGV[2] then
    return {answer}
  end
end
if has_ended(field[1]) then
  return {'ended', field[1]}
end
local moment, requested = now(), ARGV[3] == '0'
-- A request that came before the declaration remains valid.
if requested and not field[5] and redis.call('HEXISTS', records, ARGV[4]) == 1 then
  return {'too late'}
end
local held = field[2] and field[2] ~= '' and tonumber(field[3]) > moment
-- A run that has not begun has no work to undo.
if requested and (held or field[1] ~= 'queued') then
  redis.call('HSET', run, 'cancel', 1, 'cancelled_by', 'requested ' .. ARGV[2])
  if field[1] == 'waiting' then
    redis.call('HSET', run, 'wake', whole(moment))
  end
  list(run, ARGV[1], moment)
  tell()
  return {'requested'}
end
if held then
  return {'held'}
end
redis.call('HDEL', run, 'outcome', 'error', 'failed_on', 'wake', 'cancel', 'holder', 'owner', 'until')
redis.call('HSET', run, 'status', 'cancelled', 'changed', whole(moment), 'cancelled_by', 'marked ' .. ARGV[2])
list(run, ARGV[1], moment)
each_entry(ARGV[1], redis.call('HGETALL', waits), unask)
forget_key(ARGV[1], field[7], field[8])
if field[6] then
  report(run, field[6], moment)
end
tell()
return {'marked'}
