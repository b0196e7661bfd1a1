-- Chooses the runs of a claim, and takes their leases.
local moment, holder, ttl, limit, late = now(), ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local changed, ends = whole(moment), whole(moment + ttl)
local lease = {'holder', holder, 'owner', ARGV[5], 'until', ends}
if server ~= '' then
  lease[7], lease[8] = 'server', server
end

-- The maximum number of runs that one call reads, and the approximate maximum number of records in its answer.
local LOOKED, MOST = 1000, 20000

-- Returns the time of the first schedule.
local function first_alarm()
  return redis.call('ZRANGE', base .. 'alarms', 0, 0, 'WITHSCORES')[2] or ''
end

-- The runs that an earlier attempt of this call took. Its answer was lost.
local held = {}
for at, id in ipairs(remembered(holder)) do
  bind(run .. id)
  held[at] = {id, redis.call('HGETALL', run .. id), redis.call('HGETALL', records .. id),
    redis.call('HGETALL', waits .. id)}
end
if #held > 0 then
  return {'again', changed, changed, '0', held, {}, first_alarm()}
end

local served, last = {}, 6 + 2 * ARGV[6]
for at = 7, last, 2 do
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

local unfinished = promote(moment)
unfinished = catch_up(moment, rules) or unfinished
local turn = redis.call('GET', base .. 'turn') or ''
local visits, all, last_seen = queues_of(served, turn, math.min(limit + 1, PAGE))

-- The claimed runs, the runs that are no longer overdue, and the runs that cannot be claimed.
local ids, listed, torn = {}, {}, {}
local looked, weight, next_turn, tells = 0, 0, nil, false

local function move_behind(visit, key, member, rank)
  local moved = visit.behind[key] or {}
  visit.behind[key] = moved
  moved[#moved + 1] = rank
  moved[#moved + 1] = member
end

local function start(visit, lane, id, found, key, rank)
  if (found.token or '0') == '0' and not found.imported_by then
    begin(id, found, lane, lease, changed)
  else
    resume(id, found, lane, lease, changed)
  end
  if found.unique then
    forget_key(id, found.queue, found.unique)
  end
  if server == '' and found.server then
    bind(run .. id)
  end
  if visit.allowance then
    admit(visit.allowance)
  end
  if key then
    visit.keyed[id] = key
    visit.running[key] = visit.running[key] and visit.running[key] + 1
  end
  if visit.rules.settings then
    visit.started = math.max(visit.started or -math.huge, rank + (found.priority or 0))
  end
  visit.ids[#visit.ids + 1] = id
end

-- Reads a ready run, and takes it if possible. Returns whether it took the run.
local function take(visit, lane, member, rank)
  local id = string.sub(member, 17)
  local fields, found = fields_of(id)
  local key = found.key and found.key ~= '' and visit.queue .. found.key or nil
  lane.gone[#lane.gone + 1] = member
  if not belongs(found, lane, visit.raw, moment) then
    visit.strays[#visit.strays + 1] = id
    return false
  elseif found.status == 'queued' and found.start_by and tonumber(found.start_by) < moment then
    end_late(id, found, late, moment)
    listed[#listed + 1], tells = id, true
    return false
  elseif is_key_full(visit, key, moment) then
    move_behind(visit, key, member, rank)
    return false
  end
  local own, asked = contents_of(id, found)
  if own == false then
    -- The run stays in `overdue`, but leaves its lane, so that no claim meets it again.
    torn[#torn + 1] = id
    return false
  end
  start(visit, lane, id, found, key, rank)
  ids[#ids + 1], held[#held + 1] = id, {id, fields, own, asked}
  weight = weight + (own and #own / 2 or 0)
  if not lane.is_plain then
    listed[#listed + 1] = id
  end
  return true
end

local function is_full()
  return #ids >= limit or looked >= LOOKED or weight >= MOST
end

local function may_start(visit)
  if not visit.rules then
    open(visit, rules, moment)
  end
  return not visit.rules.paused and (not visit.allowance or visit.allowance.left > 0)
end

-- Takes the first run of the queue that may start. Returns whether it took one.
local function take_next(visit)
  while not is_full() and may_start(visit) do
    local lane, member, rank = first_of(visit)
    if not member then
      return false
    end
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

-- If the claim ended a run, the parent of that run may be due.
local is_left = unfinished or not all or tells
for _, visit in ipairs(is_full() and visits or {}) do
  if not is_left and may_start(visit) then
    local _, member = first_of(visit)
    is_left = member ~= nil
  end
end
if not all and not is_full() then
  next_turn = last_seen
end
