-- Deletes runs, and returns the deleted ones.
-- Arguments: `-`, or the moment before which the runs must have ended; ids..
local moment, deleted = now(), {'done'}
for at = 2, #ARGV do
  local id = ARGV[at]
  local found = placed(run .. id)
  local changed = tonumber(found.changed or found.created)
  -- If the server has evicted the run itself, its other parts may still exist.
  local there = found.status or redis.call('EXISTS', run .. id, records .. id, waits .. id) > 0
  local old = ARGV[1] == '-' or found.status and has_ended(found.status) and changed < tonumber(ARGV[1])
  if there and old and not is_held(found, moment) then
    each_entry(id, redis.call('HGETALL', waits .. id), unask)
    if found.status and not unhold(id, found) then
      unlist(id, found)
    end
    local labels = redis.call('HMGET', run .. id, 'tags', 'unique')
    each_tag(labels[1], function(set) redis.call('ZREM', set, id) end)
    forget_key(id, found.queue, labels[2])
    redis.call('ZREM', base .. 'runs', id)
    redis.call('UNLINK', run .. id, records .. id, waits .. id, base .. 'mail/' .. id, base .. 'values/' .. id,
      base .. 'streams/' .. id)
    deleted[#deleted + 1] = id
  end
end
return deleted
