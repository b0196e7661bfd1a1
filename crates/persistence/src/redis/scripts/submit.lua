-- nonce, then groups of runs: workflow, queue, number of runs, (id, options, fingerprint, input).. -- adds queued runs.
-- Options are nothing, or: priority, start, moment after which it must not start, key.
local moment, nonce = now(), ARGV[1]
local created = whole(moment)

-- Calls `each` with every run: its number, its group, and the place of its arguments.
local function each_run(each)
  local at, number = 2, 0
  while at < #ARGV do
    local group = {workflow = ARGV[at], queue = ARGV[at + 1]}
    local last = at + 3 + 4 * ARGV[at + 2]
    for place = at + 3, last - 1, 4 do
      number = number + 1
      each(number, group, place)
    end
    at = last
  end
end

-- What is there already is read before anything is written.
local answers, new, seen, torn = {'added'}, {}, {}, nil
each_run(function(number, group, at)
  local id = ARGV[at]
  if not seen[id] and redis.call('EXISTS', run .. id, records .. id, waits .. id) == 0 then
    seen[id] = true
    new[#new + 1] = {number = number, group = group, at = at}
    answers[1 + number] = false
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
    torn = id
  end
end)
if torn then
  return {'torn', torn}
end

-- Every set gets all of its runs at once.
local sets, rules, turns = {}, {}, {}
local function add(set, score, member)
  local members = sets[set] or {}
  sets[set] = members
  members[#members + 1] = score
  members[#members + 1] = member
end

local function options_of(text)
  if text == '' then
    return 0, moment, '-', nil
  end
  local priority, start, by, key = string.match(text, '^(%S+) (%S+) (%S+) (.*)$')
  return tonumber(priority), start_of(start, moment), by, key ~= '-' and string.sub(key, 2) or nil
end

-- Puts the run where it is found, as `put` does.
local function place(id, found, start, group)
  if start > moment then
    add(due, whole(start), id)
    return
  end
  local _, key = queue_of(found)
  add(overdue, created, id)
  if key and group.rules.per_key and redis.call('ZSCORE', behind, key) then
    add(base .. 'behind/' .. key, found.rank, member_of(id, found))
  else
    if not group.lane then
      local name
      group.lane, name = lane_of(found)
      add(base .. 'lanes/' .. group.workflow, 0, name)
    end
    add(group.lane, found.rank, member_of(id, found))
  end
end

local function submit(one, number)
  local group, at = one.group, one.at
  local id, fingerprint, input = ARGV[at], ARGV[at + 2], ARGV[at + 3]
  local priority, start, by, key = options_of(ARGV[at + 1])
  if not group.rules then
    group.marked = marked(group.queue)
    group.rules = rules[group.marked] or rules_of(group.marked)
    rules[group.marked] = group.rules
  end
  local rank = group.rules.fair and fair_rank(turns, group.marked, group.rules, key or '', priority)
    or rank_of(priority, start)
  local fields = {'workflow', group.workflow, 'status', 'queued', 'created', created, 'rank', whole(rank),
    'place', whole(number), 'dropped', 0, 'submitted_by', nonce .. ' ' .. one.number}
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if group.queue ~= '' then set('queue', group.queue) end
  if key then set('key', key) end
  if priority ~= 0 then set('priority', whole(priority)) end
  if start > moment then set('wake', whole(start)) end
  if by ~= '-' then set('start_by', by) end
  if fingerprint ~= '' then set('fingerprint', fingerprint) end
  if input ~= '' then set('input', input) end
  redis.call('HSET', run .. id, unpack(fields))
  add(base .. 'runs', whole(number), id)
  local found = {workflow = group.workflow, queue = group.queue, key = key, rank = whole(rank), place = number}
  place(id, found, start, group)
end

if #new > 0 then
  local last = redis.call('INCRBY', base .. 'sequence', #new)
  for at, one in ipairs(new) do
    submit(one, last - #new + at)
  end
  for set, members in pairs(sets) do
    redis.call('ZADD', set, unpack(members))
  end
  keep_turns(turns)
  tell()
end
return answers
