-- The sets in which runs are found that have not ended. Each run is in at most one of these places:
--
-- - `held/<queue>`, by the end of its lease, if an owner has it. There it stays until a claim notices that the lease is
--   over. `lapses` holds these queues, each by a moment before which no lease in it ends. A run with a key is also in
--   `held/<queue><key>`.
-- - `due`, by the moment from which it is due: that is in the future, or no claim has noticed yet that it has come.
-- - `ready/<workflow><lane>`, by its rank, if it is due. A lane is a queue, a version, and `+` unless the rank of the run
--   is the moment since when it is due and the run has no key. `lanes/<workflow>` holds the lanes with such runs, and
--   `workflows` the workflows with lanes.
-- - `behind/<queue><key>`, by its rank, in place of that, if its key has as many running runs as the queue permits.
--   `behind` holds these queues and keys, each by the moment at which a claim looks again.
--
-- Runs that are behind, and those in lanes with `+`, are in `overdue` too, by the moment since when they are due. The
-- other lanes are in that order themselves.
local due, overdue, lapses, behind = base .. 'due', base .. 'overdue', base .. 'lapses', base .. 'behind'

local PLACED = {'status', 'workflow', 'version', 'created', 'changed', 'wake', 'holder', 'until', 'paused', 'queue',
  'key', 'rank', 'place'}

-- What decides the place of the run under that key of the server.
local function placed(key)
  local values, found = redis.call('HMGET', key, unpack(PLACED)), {}
  for at, name in ipairs(PLACED) do
    found[name] = values[at]
  end
  return found
end

-- The queue of a run, and the queue with its key, if it has one that counts.
local function queue_of(found)
  local queue, key = marked(found.queue or ''), found.key
  return queue, key and key ~= '' and queue .. key or nil
end

-- Whether the run has an owner that has not given it back.
local function has_owner(found)
  return found.holder and found.holder ~= ''
end

-- Whether an owner has a lease that is not over.
local function is_held(found, moment)
  return has_owner(found) and tonumber(found['until']) > moment
end

-- `Header::due_at` in core. A queued run without `wake` may start since it was submitted.
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

-- The lane of a run, and the set of the ready runs in it. Each run fits into a lane of either kind: '+' or nothing.
local function lane_of(found, kind)
  local lane = queue_of(found) .. (found.version or '0') .. kind
  return lane, base .. 'ready/' .. marked(found.workflow) .. lane
end

-- The name of a run among those that are ready or behind: runs of one rank are in the order of their submission.
local function member_of(id, found)
  return string.format('%016.0f', found.place or 0) .. id
end

-- Lets the next claim look whether another run with that key may start.
local function touch(queue_and_key)
  if queue_and_key then
    redis.call('ZADD', behind, 'XX', 0, queue_and_key)
  end
end

-- Notes that in that queue, a lease ends at that moment.
local function note_lapse(queue, ends)
  local first = redis.call('ZSCORE', lapses, queue)
  if not first or tonumber(first) > ends then
    redis.call('ZADD', lapses, whole(ends), queue)
  end
end

-- Notes until when the run is held, and returns whether it was not before.
local function hold(id, found, ends)
  local queue, key = queue_of(found)
  local is_new = redis.call('ZADD', base .. 'held/' .. queue, whole(ends), id) == 1
  if key then
    redis.call('ZADD', base .. 'held/' .. key, whole(ends), id)
  end
  note_lapse(queue, ends)
  return is_new
end

-- Notes that the run is not held, and returns whether it was before.
local function unhold(id, found)
  local queue, key = queue_of(found)
  local was_held = redis.call('ZREM', base .. 'held/' .. queue, id) == 1
  if key then
    redis.call('ZREM', base .. 'held/' .. key, id)
    touch(key)
  end
  return was_held
end

-- Takes a run that is not held out of its place.
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

-- Puts a run that is due into a lane of that kind.
local function ready(id, found, kind)
  local lane, set = lane_of(found, kind)
  redis.call('ZADD', set, found.rank or 0, member_of(id, found))
  redis.call('ZADD', base .. 'lanes/' .. found.workflow, 0, lane)
  redis.call('ZADD', base .. 'workflows', 0, found.workflow)
end

-- Puts a run that is not held, and in no place, where it belongs.
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

-- Moves the run with that key of the server to where it belongs.
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
