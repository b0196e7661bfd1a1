-- nonce, then groups of runs: workflow, queue, number of runs, (id, options, fingerprint, input).. -- adds queued runs.
-- Options are nothing, or: priority, start, moment after which it must not start, key.
local moment, nonce = now(), ARGV[1]
local created = whole(moment)

-- What is there already is read before anything is written.
local answers, new, seen = {'added'}, {}, {}

local function look_at(number, group, at)
  local id = ARGV[at]
  if not seen[id] and redis.call('EXISTS', run .. id, records .. id, waits .. id) == 0 then
    seen[id], answers[1 + number] = true, false
    new[#new + 1] = {number, group, at}
    return
  end
  local found = redis.call('HMGET', run .. id, 'workflow', 'fingerprint', 'status', 'submitted_by')
  if found[4] == nonce .. ' ' .. number then
    -- Added by an earlier attempt of this call.
    answers[1 + number] = false
  elseif seen[id] then
    answers[1 + number] = {}
  elseif found[1] then
    answers[1 + number] = {found[1], found[2], found[3]}
  else
    return id
  end
end

local at, number = 2, 0
while at < #ARGV do
  local group, first = {workflow = ARGV[at], queue = ARGV[at + 1], lanes = {}}, at + 3
  at = first + 4 * ARGV[at + 2]
  for place = first, at - 1, 4 do
    number = number + 1
    local torn = look_at(number, group, place)
    if torn then
      return {'torn', torn}
    end
  end
end

-- Every set gets all of its runs at once.
local sets, turns, known = {}, {}, {}
local function add(set, score, member)
  local members = sets[set]
  if not members then
    members = {}
    sets[set] = members
  end
  local at = #members
  members[at + 1], members[at + 2] = score, member
end

-- Puts the run where it is found, as `put` does.
local function place(id, found, start, group)
  if start > moment then
    return add(due, whole(start), id)
  end
  local _, key = queue_of(found)
  local kind = (key or found.rank ~= created) and '+' or ''
  if kind == '+' then
    add(overdue, created, id)
  end
  if key and group.rules.per_key and redis.call('ZSCORE', behind, key) then
    return add(base .. 'behind/' .. key, found.rank, member_of(id, found))
  end
  local set = group.lanes[kind]
  if not set then
    local lane
    lane, set = lane_of(found, kind)
    group.lanes[kind] = set
    add(base .. 'lanes/' .. group.workflow, 0, lane)
    add(base .. 'workflows', 0, group.workflow)
  end
  add(set, found.rank, member_of(id, found))
end

-- The options of a run, and its rank.
local function options_of(text, group)
  local priority, start, by, key = 0, moment, nil, nil
  if text ~= '' then
    priority, start, by, key = string.match(text, '^(%S+) (%S+) (%S+) (.*)$')
    priority, start = tonumber(priority), start_of(start, moment)
    by, key = by ~= '-' and by or nil, key ~= '-' and string.sub(key, 2) or nil
  end
  local rules = group.rules
  if rules.fair then
    return priority, start, by, key, whole(fair_rank(turns, group.marked, rules, key or '', priority))
  end
  local rank = rank_of(priority, start)
  return priority, start, by, key, rank == moment and created or whole(rank)
end

local function submit(number, group, at, place_number)
  local id, fingerprint, input = ARGV[at], ARGV[at + 2], ARGV[at + 3]
  local priority, start, by, key, rank = options_of(ARGV[at + 1], group)
  local fields = {'workflow', group.workflow, 'status', 'queued', 'created', created, 'rank', rank, 'place',
    whole(place_number), 'dropped', 0, 'submitted_by', nonce .. ' ' .. number}
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if group.queue ~= '' then set('queue', group.queue) end
  if key then set('key', key) end
  if priority ~= 0 then set('priority', whole(priority)) end
  if start > moment then set('wake', whole(start)) end
  if by then set('start_by', by) end
  if fingerprint ~= '' then set('fingerprint', fingerprint) end
  if input ~= '' then set('input', input) end
  redis.call('HSET', run .. id, unpack(fields))
  add(base .. 'runs', place_number, id)
  place(id, {workflow = group.workflow, queue = group.queue, key = key, rank = rank, place = place_number}, start, group)
end

if #new > 0 then
  local last = redis.call('INCRBY', base .. 'sequence', #new)
  for at, one in ipairs(new) do
    local group = one[2]
    if not group.rules then
      group.marked = marked(group.queue)
      known[group.marked] = known[group.marked] or rules_of(group.marked)
      group.rules = known[group.marked]
    end
    submit(one[1], group, one[3], last - #new + at)
  end
  for set, members in pairs(sets) do
    redis.call('ZADD', set, unpack(members))
  end
  keep_turns(turns)
  tell()
end
return answers
