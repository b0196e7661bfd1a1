-- Adds queued runs.
-- Arguments: nonce, then groups of runs: workflow, queue, number of runs, (id, options, fingerprint, input)..
--
-- The options are an empty text, or: the priority, the start, the moment after which the run must not start, the
-- lengths of the key, the deduplication key, the parent and the tags, whether the submission replaces a queued run with
-- this deduplication key, and then these four texts. `-` stands for a missing value.
local moment, nonce = now(), ARGV[1]
local created = whole(moment)

-- The script reads all existing runs before it writes.
local answers, new, seen, unique, replacements = {'added'}, {}, {}, {}, {}
local NO_OPTIONS = {priority = 0, start = '0'}

local function options_of(text)
  if text == '' then
    return NO_OPTIONS
  end
  local priority, start, by, key, unique, parent, tags, replaces, at =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%d) ()')
  local function take(length)
    if length ~= '-' then
      at = at + length
      return string.sub(text, at - length, at - 1)
    end
  end
  return {priority = tonumber(priority), start = start, by = by ~= '-' and by or nil, key = take(key),
    unique = take(unique), parent = take(parent), tags = take(tags), replaces = replaces == '1'}
end

-- Returns the queued run with the deduplication key in the queue of the group. If there is none, the run `id` has the
-- key from now on.
local function duplicate_of(group, key, id)
  local of_queue = unique[group.queue] or {}
  unique[group.queue] = of_queue
  local found = of_queue[key] or queued_with(group.queue, key)
  of_queue[key] = found or id
  return found
end

local function look_at(number, group, at)
  local id = ARGV[at]
  if not seen[id] and redis.call('EXISTS', run .. id, records .. id, waits .. id) == 0 then
    local options = options_of(ARGV[at + 1])
    local duplicate = options.unique and duplicate_of(group, options.unique, id)
    if duplicate then
      answers[1 + number] = {duplicate}
      if options.replaces then
        replacements[#replacements + 1] = {duplicate, group, at, options}
      end
      return
    end
    seen[id], answers[1 + number] = true, false
    new[#new + 1] = {number, group, at, options}
    return
  end
  local found = redis.call('HMGET', run .. id, 'workflow', 'fingerprint', 'status', 'submitted_by')
  if found[4] == nonce .. ' ' .. number then
    -- An earlier attempt of this call added the run.
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

-- The new members of each set, so that one command adds them all.
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

-- Puts a new run into its place, as `put`.
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

-- Returns the rank of a run, as text.
local function rank_for(group, options, start)
  local rules, priority = group.rules, options.priority
  if rules.fair then
    return whole(fair_rank(turns, group.marked, rules, options.key or '', priority))
  end
  local rank = rank_of(priority, start)
  return rank == moment and created or whole(rank)
end

local function submit(number, group, at, options, place_number)
  local id, fingerprint, input = ARGV[at], ARGV[at + 2], ARGV[at + 3]
  local start, key, priority = start_of(options.start, moment), options.key, options.priority
  local rank = rank_for(group, options, start)
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
  if options.by then set('start_by', options.by) end
  if options.parent then set('parent', options.parent) end
  if options.tags then set('tags', options.tags) end
  if options.unique then set('unique', options.unique) end
  if fingerprint ~= '' then set('fingerprint', fingerprint) end
  if input ~= '' then set('input', input) end
  redis.call('HSET', run .. id, unpack(fields))
  add(base .. 'runs', place_number, id)
  each_tag(options.tags, function(set) add(set, place_number, id) end)
  if options.unique then
    redis.call('HSET', keys_of(group.queue), options.unique, id)
  end
  local found = {workflow = group.workflow, queue = group.queue, key = key, rank = rank, place = place_number}
  place(id, found, start, group)
end

-- Gives a queued run what another submission with its deduplication key says: `Submit::replace` in core.
local function replace(id, group, at, options)
  local key = run .. id
  local found, priority = placed(key), redis.call('HGET', key, 'priority')
  if is_held(found, moment) or found.workflow ~= group.workflow then
    return
  end
  if not unhold(id, found) then
    unlist(id, found)
  end
  redis.call('HDEL', key, 'fingerprint', 'input', 'start_by')
  if options.by then redis.call('HSET', key, 'start_by', options.by) end
  if ARGV[at + 2] ~= '' then redis.call('HSET', key, 'fingerprint', ARGV[at + 2]) end
  if ARGV[at + 3] ~= '' then redis.call('HSET', key, 'input', ARGV[at + 3]) end
  local start = start_of(options.start, moment)
  if not group.rules.fair then
    found.rank = whole(rank_of(tonumber(priority or 0), start))
    redis.call('HSET', key, 'rank', found.rank)
  end
  found.wake = whole(start)
  redis.call('HSET', key, 'wake', found.wake)
  put(id, found, moment)
end

local function read_rules(group)
  if not group.rules then
    group.marked = marked(group.queue)
    known[group.marked] = known[group.marked] or rules_of(group.marked)
    group.rules = known[group.marked]
  end
end

if #new > 0 then
  local last = redis.call('INCRBY', base .. 'sequence', #new)
  for at, one in ipairs(new) do
    read_rules(one[2])
    submit(one[1], one[2], one[3], one[4], last - #new + at)
  end
  for set, members in pairs(sets) do
    redis.call('ZADD', set, unpack(members))
  end
end
for _, one in ipairs(replacements) do
  read_rules(one[2])
  replace(unpack(one))
end
if #new + #replacements > 0 then
  keep_turns(turns)
  tell()
end
return answers
