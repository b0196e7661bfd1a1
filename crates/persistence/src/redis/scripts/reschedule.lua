-- Changes queued runs, as `Reschedule::apply` in core, and returns the changed ones.
-- Arguments: nonce, queue, priority, start, ids.. The argument `-` leaves a value unchanged. The name of a queue
-- follows `=`.
local moment, nonce, changed, turns, known = now(), ARGV[1], {'done'}, {}, {}

local function reschedule(key, id, found)
  if not unhold(id, found) then
    unlist(id, found)
  end
  local wake = tonumber(found.wake or found.created) or moment
  local start = ARGV[4] == '-' and wake or start_of(ARGV[4], moment)
  if ARGV[2] ~= '-' and ARGV[2] ~= '=' .. (found.queue or '') then
    -- Another run may have the deduplication key in the other queue.
    forget_key(id, found.queue, redis.call('HGET', key, 'unique'))
    redis.call('HDEL', key, 'unique')
    found.queue = string.sub(ARGV[2], 2)
  end
  local priority = tonumber(ARGV[3] == '-' and (redis.call('HGET', key, 'priority') or 0) or ARGV[3])
  local queue = queue_of(found)
  local rules = known[queue] or rules_of(queue)
  known[queue] = rules
  redis.call('HSET', key, 'queue', found.queue or '', 'rescheduled_by', nonce)
  requeue(id, found, priority, start, rules, turns, moment)
end

for at = 5, #ARGV do
  local id = ARGV[at]
  local key = run .. id
  local found = placed(key)
  if found.status and redis.call('HGET', key, 'rescheduled_by') == nonce then
    -- An earlier attempt of this call changed the run.
    changed[#changed + 1] = id
  elseif found.status == 'queued' and not is_held(found, moment) then
    reschedule(key, id, found)
    changed[#changed + 1] = id
  end
end
keep_turns(turns)
tell()
return changed
