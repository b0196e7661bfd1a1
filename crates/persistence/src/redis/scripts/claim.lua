-- holder, ttl, limit, error of a run that is too late, number of workflows, (workflow, version).., holders whose claims
-- have arrived.. -- takes the leases of due runs.
local moment, holder, ttl, limit, late = now(), ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- At how many runs one call looks, and about how many records its answer holds.
local LOOKED, MOST = 1000, 20000

local function answer(ids)
  local held = {}
  for at, id in ipairs(ids) do
    held[at] = {id, redis.call('HGETALL', run .. id), redis.call('HGETALL', records .. id),
      redis.call('HGETALL', waits .. id)}
    bind(run .. id)
  end
  return {'again', whole(moment), whole(moment), '0', held, {}}
end

-- Taken by an earlier attempt of this call, which its owner has not heard of.
local before = remembered(holder)
if #before > 0 then
  return answer(before)
end

local served = {}
local last = 5 + 2 * ARGV[5]
for at = 6, last, 2 do
  served[#served + 1] = {workflow = ARGV[at], version = tonumber(ARGV[at + 1])}
end
for at = last + 1, #ARGV do
  redis.call('UNLINK', memo_of(ARGV[at]))
end

local known = {}
local function rules(queue)
  known[queue] = known[queue] or rules_of(queue)
  return known[queue]
end

-- These read what they move, so what follows finds it moved.
local unfinished = promote(moment)
unfinished = catch_up(moment, rules) or unfinished

local turn = redis.call('GET', base .. 'turn') or ''
local visits, all, last_seen = lanes_of(served, turn)
local ids, held, torn, listed = {}, {}, {}, {}
local looked, weight, next_turn, tells = 0, 0, nil, false

local function move_behind(visit, lane, key, member, rank)
  local moved = visit.behind[key] or {}
  visit.behind[key] = moved
  moved[#moved + 1] = whole(rank)
  moved[#moved + 1] = member
  lane.gone[#lane.gone + 1] = member
end

-- Looks at a ready run. Returns whether it was taken.
local function take(visit, lane, member, rank)
  local id = string.sub(member, 17)
  local fields, found = fields_of(id)
  local _, key = queue_of(found)
  if not belongs(found, lane, visit.queue, moment) then
    lane.gone[#lane.gone + 1] = member
    if not found.status then
      listed[#listed + 1] = id
    else
      visit.strays[#visit.strays + 1] = id
    end
  elseif found.status == 'queued' and found.start_by and tonumber(found.start_by) < moment then
    end_late(id, found, late, moment)
    lane.gone[#lane.gone + 1], listed[#listed + 1], tells = member, id, true
  elseif key_is_full(visit, key, moment) then
    move_behind(visit, lane, key, member, rank)
  else
    local own, asked = contents_of(id, found)
    lane.gone[#lane.gone + 1] = member
    if not own then
      -- It stays among those that are due, and no claim meets it again.
      torn[#torn + 1] = id
      return false
    end
    write_lease(id, found, lane.version, holder, moment + ttl, moment)
    if visit.allowance then admit(visit.allowance) end
    if key then visit.running[key] = visit.running[key] and visit.running[key] + 1 end
    visit.started = math.max(visit.started or -math.huge, rank + (found.priority or 0))
    visit.taken[#visit.taken + 1] = {id, key}
    ids[#ids + 1], listed[#listed + 1] = id, id
    held[#held + 1] = {id, fields, own, asked}
    weight = weight + #own / 2
    return true
  end
  return false
end

local function is_full()
  return #ids >= limit or looked >= LOOKED or weight >= MOST
end

-- Whether the queue has a ready run that may start.
local function has_next(visit)
  if not visit.rules then
    open(visit, rules, moment)
  end
  local may = not visit.rules.paused and not (visit.allowance and visit.allowance.left == 0)
  return may and first_of(visit) ~= nil
end

-- Takes the first run of the queue that may start. Returns whether there was one.
local function take_next(visit)
  while not is_full() and has_next(visit) do
    local lane, member, rank = first_of(visit)
    lane.at, looked = lane.at + 2, looked + 1
    if take(visit, lane, member, rank) then
      next_turn = visit.queue
      return true
    end
  end
  return false
end

local round = visits
while #round > 0 and not is_full() do
  local again = {}
  for _, visit in ipairs(round) do
    if take_next(visit) then
      again[#again + 1] = visit
    end
  end
  round = again
end

local is_left = unfinished or not all
for _, visit in ipairs(is_full() and visits or {}) do
  is_left = is_left or has_next(visit)
end

local function clear(visit)
  for _, lane in ipairs(visit.lanes) do
    if #lane.gone > 0 then
      redis.call('ZREM', lane.key, unpack(lane.gone))
    end
    if lane.read > 0 and redis.call('EXISTS', lane.key) == 0 then
      redis.call('ZREM', base .. 'lanes/' .. lane.workflow, lane.name)
    end
  end
  for _, id in ipairs(visit.strays) do
    pcall(list, run .. id, id, moment)
  end
  for key, moved in pairs(visit.behind) do
    redis.call('ZADD', base .. 'behind/' .. key, unpack(moved))
    redis.call('ZADD', behind, whole(moment + PAUSE), key)
  end
end

local function keep(visit)
  if #visit.taken == 0 then
    return
  end
  local ends, members = whole(moment + ttl), {}
  for _, one in ipairs(visit.taken) do
    members[#members + 1] = ends
    members[#members + 1] = one[1]
    if one[2] then
      redis.call('ZADD', base .. 'held/' .. one[2], ends, one[1])
    end
  end
  redis.call('ZADD', base .. 'held/' .. visit.queue, unpack(members))
  local first = redis.call('ZSCORE', lapses, visit.queue)
  if not first or tonumber(first) > moment + ttl then
    redis.call('ZADD', lapses, ends, visit.queue)
  end
  local rules = base .. 'queue/' .. visit.queue
  if visit.rules.settings and visit.started > tonumber(visit.rules.virtual or 0) then
    redis.call('HSET', rules, 'virtual', whole(visit.started))
    -- Keys whose next run would have this rank anyway.
    redis.call('ZREMRANGEBYSCORE', base .. 'turns/' .. visit.queue, '-inf', whole(visit.started))
  end
  if visit.allowance and visit.allowance.rate then
    redis.call('HSET', rules, 'arrival', whole(visit.allowance.rate.arrival))
  end
end

local opens = {}
for _, visit in ipairs(visits) do
  clear(visit)
  keep(visit)
  opens[#opens + 1] = visit.allowance and opens_at(visit.allowance) or nil
end
if #listed > 0 then
  redis.call('ZREM', overdue, unpack(listed))
end
if #ids > 0 then
  remember(holder, ids, whole(math.min(math.max(ttl, 1), 86400000)))
end
if not all and not is_full() then
  next_turn = last_seen
end
if next_turn then
  redis.call('SET', base .. 'turn', next_turn)
end
if tells then
  tell()
end

-- The moment at which another claim may find more.
for _, set in ipairs({due, lapses}) do
  opens[#opens + 1] = tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
end
local again = is_left and whole(moment) or #opens > 0 and whole(math.max(math.min(unpack(opens)), moment)) or ''
return {'claimed', whole(moment), again, (unfinished or not all) and '1' or '0', held, torn}
