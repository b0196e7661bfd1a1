-- holder, ttl, limit, error of a run that is too late, owner, number of workflows, (workflow, version).., holders
-- whose claims have arrived.. -- takes the leases of due runs. Here, the sets are brought up to date with what was chosen.
local function clear(visit)
  for _, lane in ipairs(visit.lanes) do
    if #lane.gone > 0 then
      redis.call('ZREM', lane.set, unpack(lane.gone))
    end
    if lane.read > 0 and redis.call('EXISTS', lane.set) == 0 then
      redis.call('ZREM', base .. 'lanes/' .. lane.workflow, lane.name)
    end
  end
  for _, id in ipairs(visit.strays) do
    -- A run that cannot be read is in no place after this.
    redis.call('ZREM', overdue, id)
    pcall(list, run .. id, id, moment)
  end
  for key, moved in pairs(visit.behind) do
    redis.call('ZADD', base .. 'behind/' .. key, unpack(moved))
    redis.call('ZADD', behind, whole(moment + PAUSE), key)
  end
end

local function keep(visit)
  local members = {}
  for at, id in ipairs(visit.ids) do
    members[2 * at - 1], members[2 * at] = ends, id
  end
  redis.call('ZADD', base .. 'held/' .. visit.queue, unpack(members))
  for id, key in pairs(visit.keyed) do
    redis.call('ZADD', base .. 'held/' .. key, ends, id)
  end
  note_lapse(visit.queue, moment + ttl)
  local rules = base .. 'queue/' .. visit.queue
  if visit.started and visit.started > tonumber(visit.rules.virtual or 0) then
    redis.call('HSET', rules, 'virtual', whole(visit.started))
    -- Without these entries, the next run of each key gets an equal rank.
    redis.call('ZREMRANGEBYSCORE', base .. 'turns/' .. visit.queue, '-inf', whole(visit.started))
  end
  if visit.allowance and visit.allowance.rate then
    redis.call('HSET', rules, 'arrival', whole(visit.allowance.rate.arrival))
  end
end

-- The moments at which another claim may find more runs.
local opens = {}
for _, visit in ipairs(visits) do
  clear(visit)
  if #visit.ids > 0 then
    keep(visit)
  end
  opens[#opens + 1] = visit.allowance and opens_at(visit.allowance) or nil
end
if #listed > 0 then
  redis.call('ZREM', overdue, unpack(listed))
end
if #ids > 0 then
  remember(holder, ids, whole(math.min(math.max(ttl, 1), 86400000)))
end
if next_turn then
  redis.call('SET', base .. 'turn', next_turn)
end
if tells then
  tell()
end
for _, set in ipairs({due, lapses}) do
  opens[#opens + 1] = tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
end
local again = is_left and changed or #opens > 0 and whole(math.max(math.min(unpack(opens)), moment)) or ''
return {'claimed', changed, again, (unfinished or not all) and '1' or '0', held, torn, first_alarm()}
