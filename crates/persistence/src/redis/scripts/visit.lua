-- The queues that a claim visits, in turn.

-- The maximum number of lanes of a workflow that one call reads, and the number of runs of a lane that it reads at a
-- time.
local LANES, PAGE = 500, 100

-- Returns the first text after all texts that begin with this marked text.
local function behind_all(queue)
  return string.sub(queue, 1, -2) .. '\1'
end

-- Finds lanes of a workflow by their names, and adds them to their queues.
local function add_lanes(queues, served, names, round, page)
  local queue
  for _, name in ipairs(names) do
    local version, kind
    queue, version, kind = string.match(name, '^(.-%z%z)(%d+)(%+?)$')
    if tonumber(version) <= served.version then
      local visit = queues[queue]
      if not visit then
        local raw = string.gsub(string.sub(queue, 1, -3), '%z\1', '\0')
        visit = {queue = queue, raw = raw, round = round, lanes = {}, ids = {}, keyed = {}, strays = {}, behind = {}}
        queues[queue], queues[#queues + 1] = visit, visit
      end
      visit.lanes[#visit.lanes + 1] = {set = base .. 'ready/' .. marked(served.workflow) .. name, name = name,
        workflow = served.workflow, version = version, served = served.version, is_plain = kind == '',
        page = {}, size = page, at = 1, read = 0, gone = {}}
    end
  end
  return queue
end

-- Returns the queues with lanes of the served workflows, in a circle that begins after the queue `turn`. Also returns
-- whether they are all such queues, and the last queue of the list. A claim reads `page` runs of a lane at a time.
local function queues_of(served, turn, page)
  local queues, all, last = {}, true, nil
  for _, one in ipairs(served) do
    local set, from = base .. 'lanes/' .. one.workflow, turn == '' and '-' or '[' .. behind_all(turn)
    local names = redis.call('ZRANGEBYLEX', set, from, '+', 'LIMIT', 0, LANES)
    last = add_lanes(queues, one, names, 1, page) or last
    if turn ~= '' and #names < LANES then
      names = redis.call('ZRANGEBYLEX', set, '-', '(' .. behind_all(turn), 'LIMIT', 0, LANES)
      last = add_lanes(queues, one, names, 2, page) or last
    end
    all = all and #names < LANES
  end
  if #served > 1 then
    table.sort(queues, function(one, other)
      return one.round < other.round or one.round == other.round and one.queue < other.queue
    end)
  end
  return queues, all, last
end

-- Reads the rules of a queue with the function `rules`, and creates its allowance.
local function open(visit, rules, moment)
  visit.rules, visit.running = rules(visit.queue), {}
  if visit.rules.concurrency or visit.rules.per_key or visit.rules.runs then
    local running = visit.rules.concurrency
      and redis.call('ZCOUNT', base .. 'held/' .. visit.queue, '(' .. whole(moment), '+inf')
    visit.allowance = allowance_of(visit.rules, moment, running)
  end
end

-- Returns the next run of a lane, and its rank.
local function head(lane)
  local member = lane.page[lane.at]
  if not member and (lane.read == 0 or #lane.page == 2 * lane.size) then
    lane.page = redis.call('ZRANGE', lane.set, lane.read, lane.read + lane.size - 1, 'WITHSCORES')
    lane.at, lane.read = 1, lane.read + lane.size
    member = lane.page[1]
  end
  return member, lane.page[lane.at + 1]
end

-- Returns whether a run starts before another one, by their ranks and the order of their submission.
local function is_before(member, rank, other, other_rank)
  if rank ~= other_rank then
    return rank < other_rank
  end
  return tonumber(string.sub(member, 1, 16)) < tonumber(string.sub(other, 1, 16))
end

-- Returns the lane with the first ready run of a queue, the run, and its rank.
local function first_of(visit)
  local lanes = visit.lanes
  if #lanes == 1 then
    return lanes[1], head(lanes[1])
  end
  local first, first_member, first_rank
  for _, lane in ipairs(lanes) do
    local member, rank = head(lane)
    if member and (not first or is_before(member, tonumber(rank), first_member, tonumber(first_rank))) then
      first, first_member, first_rank = lane, member, rank
    end
  end
  return first, first_member, first_rank
end

-- Returns whether the key has as many running runs as the queue permits.
local function is_key_full(visit, key, moment)
  local allowance = visit.allowance
  if not key or not allowance or not allowance.per_key then
    return false
  end
  visit.running[key] = visit.running[key]
    or redis.call('ZCOUNT', base .. 'held/' .. key, '(' .. whole(moment), '+inf')
  return left_for(allowance, visit.running[key]) == 0
end
