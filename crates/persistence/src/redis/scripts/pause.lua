-- Pauses or resumes runs, and returns the changed ones.
-- Arguments: nonce, whether to pause them, ids..
local moment, nonce, wanted, changed = now(), ARGV[1], ARGV[2] == '1', {'done'}
for at = 3, #ARGV do
  local id = ARGV[at]
  local key = run .. id
  local found = redis.call('HMGET', key, 'status', 'paused', 'paused_by')
  if found[3] == nonce then
    -- An earlier attempt of this call changed the run.
    changed[#changed + 1] = id
  elseif found[1] and not has_ended(found[1]) and (found[2] and true or false) ~= wanted then
    redis.call('HSET', key, 'paused_by', nonce)
    if wanted then
      redis.call('HSET', key, 'paused', 1)
    else
      redis.call('HDEL', key, 'paused')
    end
    list(key, id, moment)
    changed[#changed + 1] = id
  end
end
tell()
return changed
