-- The queues that a claim visits, in turn.

-- At how many queues of a workflow one call looks, and how many runs it reads at a time.
local LANES, PAGE = 500, 100

-- The sets of ready runs of the served workflows that follow the queue `turn`, in a circle, grouped by queue. Returns
-- the queues in that order, whether these are all, and the last queue that was seen.
local function lanes_of(served, turn)
  local from, to = '-', '(' .. string.sub(turn, 1, -2) .. '\1'
  if turn ~= '' then
    from = '[' .. string.sub(turn, 1, -2) .. '\1'
  end
  local queues, groups, all, last = {}, {}, true, nil
  local function add(workflow, version, name, round)
    local queue, lane_version = string.match(name, '^(.-%z%z)(.*)$')
    last = queue
    if tonumber(lane_version) > version then
      return
    end
    local group = groups[queue]
    if not group then
      group = {queue = queue, round = round, lanes = {}, taken = {}, strays = {}, behind = {}}
      groups[queue], queues[#queues + 1] = group, group
    end
    local key = base .. 'ready/' .. marked(workflow) .. name
    group.lanes[#group.lanes + 1] = {key = key, name = name, workflow = workflow, version = version,
      lane_version = lane_version, page = {}, at = 1, read = 0, gone = {}}
  end
  for _, one in ipairs(served) do
    local set = base .. 'lanes/' .. one.workflow
    local names = redis.call('ZRANGEBYLEX', set, from, '+', 'LIMIT', 0, LANES)
    for _, name in ipairs(names) do add(one.workflow, one.version, name, 1) end
    if turn ~= '' and #names < LANES then
      local others = redis.call('ZRANGEBYLEX', set, '-', to, 'LIMIT', 0, LANES)
      for _, name in ipairs(others) do add(one.workflow, one.version, name, 2) end
      all = all and #others < LANES
    else
      all = all and #names < LANES
    end
  end
  if #served > 1 then
    table.sort(queues, function(one, other)
      return one.round < other.round or one.round == other.round and one.queue < other.queue
    end)
  end
  return queues, all, last
end

-- Prepares the visit of a queue. `rules` returns the rules of a queue.
local function open(visit, rules, moment)
  visit.rules, visit.running = rules(visit.queue), {}
  local limited = visit.rules.concurrency or visit.rules.per_key or visit.rules.runs
  local running = 0
  if visit.rules.concurrency then
    running = redis.call('ZCOUNT', base .. 'held/' .. visit.queue, '(' .. whole(moment), '+inf')
  end
  visit.allowance = limited and allowance_of(visit.rules, moment, running)
end

-- The next run of a set of ready ones.
local function head(lane)
  local is_last = lane.read > 0 and #lane.page < 2 * PAGE
  if not lane.page[lane.at] and not is_last then
    lane.page = redis.call('ZRANGE', lane.key, lane.read, lane.read + PAGE - 1, 'WITHSCORES')
    lane.at, lane.read = 1, lane.read + PAGE
  end
  local member = lane.page[lane.at]
  return member, member and tonumber(lane.page[lane.at + 1])
end

-- The set with the first ready run of a queue, and that run.
local function first_of(visit)
  local first, first_member, first_rank
  for _, lane in ipairs(visit.lanes) do
    local member, rank = head(lane)
    local is_first = member and (not first or rank < first_rank or rank == first_rank
      and tonumber(string.sub(member, 1, 16)) < tonumber(string.sub(first_member, 1, 16)))
    if is_first then
      first, first_member, first_rank = lane, member, rank
    end
  end
  return first, first_member, first_rank
end

-- Whether a run with that key may start, as far as the key is concerned.
local function key_is_full(visit, id_key, moment)
  local allowance = visit.allowance
  if not allowance or not allowance.per_key or not id_key then
    return false
  end
  visit.running[id_key] = visit.running[id_key]
    or redis.call('ZCOUNT', base .. 'held/' .. id_key, '(' .. whole(moment), '+inf')
  return left_for(allowance, visit.running[id_key]) == 0
end
