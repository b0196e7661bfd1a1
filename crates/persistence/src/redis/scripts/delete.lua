-- ended before or nothing, (id, prefix of members).. -- the names of the keys are those of a run without an id.
local moment, deleted = now(), {'done'}
for at = 2, #ARGV, 2 do
  local id = ARGV[at]
  local field = redis.call('HMGET', run .. id, 'status', 'changed', 'holder', 'until')
  -- Without the run there may still be the rest of one that the server has thrown away.
  local there = field[1] or redis.call('EXISTS', records .. id, waits .. id) > 0
  local free = not (field[3] and tonumber(field[4]) > moment)
  local old = ARGV[1] == '-' or field[1] and has_ended(field[1]) and tonumber(field[2]) < tonumber(ARGV[1])
  if there and free and old then
    local entries = redis.call('HGETALL', waits .. id)
    for place = 1, #entries, 2 do
      unlist(ARGV[at + 1] .. entries[place], entries[place + 1])
    end
    redis.call('ZREM', due, id)
    redis.call('ZREM', runs, id)
    redis.call('UNLINK', run .. id, records .. id, waits .. id)
    deleted[#deleted + 1] = id
  end
end
return deleted
