-- The functions that take the lease of a ready run. The sets are only hints, so a claim reads each run before it takes
-- the run.

-- Returns the fields of a run, as a list and as a table. Both are empty if the run cannot be read.
local function fields_of(id)
  local fields, found = redis.pcall('HGETALL', run .. id), {}
  for at = 1, #fields, 2 do
    found[fields[at]] = fields[at + 1]
  end
  return fields, found
end

-- Returns whether the run is due, and belongs to the lane.
local function belongs(found, lane, queue, moment)
  return found.workflow == lane.workflow and (found.version or '0') == lane.version
    and (found.queue or '') == queue and not is_held(found, moment) and (due_at(found) or math.huge) <= moment
end

-- Ends a run that was not started in time. `text` is its error.
local function end_late(id, found, text, moment)
  local entries = redis.call('HGETALL', waits .. id)
  redis.call('HDEL', run .. id, 'outcome', 'failed_on', 'wake', 'cancel', 'holder', 'owner', 'until')
  redis.call('HSET', run .. id, 'status', 'cancelled', 'changed', whole(moment), 'error', text)
  each_entry(id, entries, unask)
  forget_key(id, found.queue, found.unique)
  if found.parent then
    report(run .. id, found.parent, moment)
  end
end

-- Returns the records and the waiting entries of a run. A run that never had an owner has none, unless it was imported.
-- Returns `false` if they cannot be read, or if records are missing.
local function contents_of(id, found)
  if (found.token or '0') == '0' and not found.imported_by then
    return nil, nil
  end
  local own, asked = redis.pcall('HGETALL', records .. id), redis.pcall('HGETALL', waits .. id)
  local is_torn = found.dropped and #own / 2 ~= (found.recorded or 0) - found.dropped
  if own.err or asked.err or is_torn then
    return false
  end
  return own, asked
end

-- Takes the lease of a run that never had an owner. `lease` has its fields in pairs.
local function begin(id, found, lane, lease, changed)
  redis.call('HSET', run .. id, 'token', 1, 'status', 'running', 'version', lane.served, 'changed', changed,
    unpack(lease))
  if found.wake then
    redis.call('HDEL', run .. id, 'wake')
  end
end

-- Takes the lease of another run. Counts as `Header::claim` in core does.
local function resume(id, found, lane, lease, changed)
  local recorded, crashes = found.recorded or '0', 0
  if recorded == (found.recorded_before or '0') then
    crashes = (found.crashes or 0) + (has_owner(found) and 1 or 0)
  end
  redis.call('HSET', run .. id, 'token', whole((found.token or 0) + 1), 'recorded_before', recorded,
    unpack(lease))
  if crashes > 0 then
    redis.call('HSET', run .. id, 'crashes', whole(crashes))
  elseif found.crashes then
    redis.call('HDEL', run .. id, 'crashes')
  end
  if found.status == 'queued' then
    redis.call('HDEL', run .. id, 'wake')
    redis.call('HSET', run .. id, 'status', 'running', 'version', lane.served, 'changed', changed)
  end
end
