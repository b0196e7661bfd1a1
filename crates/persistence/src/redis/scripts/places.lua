-- The sorted sets that list the runs that have not ended. Each run is in at most one of these places:
--
-- - `held/<queue>`, by the end of its lease, if an owner holds it. The run stays there until a claim notices that the
--   lease has ended. `lapses` holds these queues, each by a moment before which none of its leases ends. A run with a
--   key is also in `held/<queue><key>`.
-- - `due`, by the moment at which it becomes due. The moment is in the future, or it has passed and no claim has
--   noticed this yet.
-- - `ready/<workflow><lane>`, by its rank, if the run is due. The name of a lane consists of a queue, a version and a
--   kind. The kind is empty for a run without a key whose rank is the moment at which it became due. It is `+` for all
--   others. `lanes/<workflow>` holds the lanes with ready runs, and `workflows` holds the workflows with lanes.
-- - `behind/<queue><key>`, by its rank, if the run is due, but its key has as many running runs as the queue permits.
--   `behind` holds these queues and keys, each by the moment at which a claim checks the key again.
--
-- The set `overdue` also lists the runs in `behind` sets and in lanes with `+`, by the moment at which they became due.
-- The other lanes already have this order.
local due, overdue, lapses, behind = base .. 'due', base .. 'overdue', base .. 'lapses', base .. 'behind'

local PLACED = {'status', 'workflow', 'version', 'created', 'changed', 'wake', 'holder', 'until', 'paused', 'queue',
  'key', 'rank', 'place'}

-- Returns the fields that decide the place of a run. `key` is the name of the run's hash.
local function placed(key)
  local values, found = redis.call('HMGET', key, unpack(PLACED)), {}
  for at, name in ipairs(PLACED) do
    found[name] = values[at]
  end
  return found
end

-- Returns the marked queue of a run, and the queue with the key of the run, if it has one. An empty key counts as none.
local function queue_of(found)
  local queue, key = marked(found.queue or ''), found.key
  return queue, key and key ~= '' and queue .. key or nil
end

-- Returns whether the run has an owner that has not released it.
local function has_owner(found)
  return found.holder and found.holder ~= ''
end

-- Returns whether an owner has a lease that has not ended.
local function is_held(found, moment)
  return has_owner(found) and tonumber(found['until']) > moment
end

-- `Header::due_at` in core. A queued run without `wake` may start from its submission on.
local function due_at(found)
  local status, held = found.status, has_owner(found) and tonumber(found['until'])
  if found.paused or has_ended(status) then
    return nil
  elseif status == 'running' then
    return held or tonumber(found.changed or found.created)
  end
  local wake = tonumber(found.wake or status == 'queued' and found.created)
  return wake and math.max(wake, held or wake)
end

-- Returns the lane of a run, and the set of the ready runs in it. A run can be in a lane of either kind: `+` or empty.
local function lane_of(found, kind)
  local lane = queue_of(found) .. (found.version or '0') .. kind
  return lane, base .. 'ready/' .. marked(found.workflow) .. lane
end

-- Returns the name of a run in the `ready` and `behind` sets. The names sort runs of one rank by their submission.
local function member_of(id, found)
  return string.format('%016.0f', found.place or 0) .. id
end

-- Lets the next claim check whether another run with the key may start.
local function touch(queue_and_key)
  if queue_and_key then
    redis.call('ZADD', behind, 'XX', 0, queue_and_key)
  end
end

-- Notes that a lease of the queue ends at a moment.
local function note_lapse(queue, ends)
  local first = redis.call('ZSCORE', lapses, queue)
  if not first or tonumber(first) > ends then
    redis.call('ZADD', lapses, whole(ends), queue)
  end
end

-- Notes that the run is held until `ends`. Returns whether it was not held before.
local function hold(id, found, ends)
  local queue, key = queue_of(found)
  local is_new = redis.call('ZADD', base .. 'held/' .. queue, whole(ends), id) == 1
  if key then
    redis.call('ZADD', base .. 'held/' .. key, whole(ends), id)
  end
  note_lapse(queue, ends)
  return is_new
end

-- Notes that the run is not held. Returns whether it was held before.
local function unhold(id, found)
  local queue, key = queue_of(found)
  local was_held = redis.call('ZREM', base .. 'held/' .. queue, id) == 1
  if key then
    redis.call('ZREM', base .. 'held/' .. key, id)
    touch(key)
  end
  return was_held
end

-- Removes a run that is not held from its place.
local function unlist(id, found)
  if redis.call('ZREM', due, id) == 1 then
    return
  end
  local _, key = queue_of(found)
  local member = member_of(id, found)
  for _, kind in ipairs({'', '+'}) do
    local _, set = lane_of(found, kind)
    redis.call('ZREM', set, member)
  end
  if key then
    redis.call('ZREM', base .. 'behind/' .. key, member)
  end
  redis.call('ZREM', overdue, id)
  touch(key)
end

-- Puts a due run into a lane of this kind.
local function ready(id, found, kind)
  local lane, set = lane_of(found, kind)
  redis.call('ZADD', set, found.rank or 0, member_of(id, found))
  redis.call('ZADD', base .. 'lanes/' .. found.workflow, 0, lane)
  redis.call('ZADD', base .. 'workflows', 0, found.workflow)
end

-- Puts a run into its place. The run is not held, and in no place yet.
local function put(id, found, moment)
  local since = due_at(found)
  if not since then
    return
  elseif since > moment then
    redis.call('ZADD', due, whole(since), id)
    return
  end
  local _, key = queue_of(found)
  if not key and since == tonumber(found.rank or 0) then
    return ready(id, found, '')
  end
  redis.call('ZADD', overdue, whole(since), id)
  if key and redis.call('ZSCORE', behind, key) then
    redis.call('ZADD', base .. 'behind/' .. key, found.rank or 0, member_of(id, found))
  else
    ready(id, found, '+')
  end
end

-- Moves a run to its place. `key` is the name of the run's hash.
local function list(key, id, moment)
  local found = placed(key)
  if is_held(found, moment) then
    if hold(id, found, tonumber(found['until'])) then
      unlist(id, found)
    end
  elseif found.status then
    if not unhold(id, found) then
      unlist(id, found)
    end
    put(id, found, moment)
  end
end
