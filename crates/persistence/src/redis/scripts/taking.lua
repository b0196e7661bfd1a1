-- Takes the lease of a ready run, or says why not. What is found in sets is only where to look, so every run is read
-- before it is taken.

-- The fields of a run, in pairs and as a table. Both are empty if it cannot be read.
local function fields_of(id)
  local fields, found = redis.pcall('HGETALL', run .. id), {}
  for at = 1, #fields, 2 do
    found[fields[at]] = fields[at + 1]
  end
  return fields, found
end

-- Whether the run is where it belongs, and due.
local function belongs(found, lane, queue, moment)
  return found.workflow == lane.workflow and (found.version or '0') == lane.lane_version
    and queue_of(found) == queue and not is_held(found, moment) and (due_at(found) or math.huge) <= moment
end

-- Ends a run that was not started in time, with that text as its error.
local function end_late(id, found, text, moment)
  local entries = redis.call('HGETALL', waits .. id)
  redis.call('HDEL', run .. id, 'outcome', 'failed_on', 'wake', 'cancel', 'holder', 'until')
  redis.call('HSET', run .. id, 'status', 'cancelled', 'changed', whole(moment), 'error', text)
  each_entry(id, entries, unask)
end

-- The records and the waiting entries of a run. A run that no owner ever had has none, unless it was imported. Returns
-- nothing if they cannot be read, or if records are missing.
local function contents_of(id, found)
  if (found.token or '0') == '0' and not found.imported_by then
    return {}, {}
  end
  local own, asked = redis.pcall('HGETALL', records .. id), redis.pcall('HGETALL', waits .. id)
  local is_torn = found.dropped and #own / 2 ~= (found.recorded or 0) - found.dropped
  if own.err or asked.err or is_torn then
    return nil
  end
  return own, asked
end

-- Writes what `Header::claim` in core does, and the lease.
local function write_lease(id, found, version, holder, ends, moment)
  local fields, at = {'token', whole((found.token or 0) + 1), 'holder', holder, 'until', whole(ends)}, 7
  local function set(name, value)
    fields[at], fields[at + 1], at = name, value, at + 2
  end
  local recorded, before = found.recorded or '0', found.recorded_before or '0'
  local crashes = 0
  if found.holder and recorded == before then
    crashes = (found.crashes or 0) + 1
  end
  if crashes > 0 or found.crashes then set('crashes', whole(crashes)) end
  if recorded ~= before then set('recorded_before', recorded) end
  if server ~= '' then set('server', server) end
  if found.status == 'queued' then
    set('status', 'running')
    set('version', version)
    set('changed', whole(moment))
    if found.wake then redis.call('HDEL', run .. id, 'wake') end
  end
  redis.call('HSET', run .. id, unpack(fields))
  if server == '' and found.server then redis.call('HDEL', run .. id, 'server') end
end
