-- The settings of queues, and the ranks of their runs.

-- `queue/<queue>` holds the settings as text, and the settings that a worker declared last. It also holds the rules
-- that the scripts read: the limits, whether the queue is fair or paused, the arrival time of its rate, and its virtual
-- time.
local RULES = {'settings', 'paused', 'concurrency', 'per_key', 'runs', 'period', 'fair', 'arrival', 'virtual'}

-- Returns the rules of a queue as a table. `queue` is the marked name.
local function rules_of(queue)
  local values, found = redis.call('HMGET', base .. 'queue/' .. queue, unpack(RULES)), {}
  for at, name in ipairs(RULES) do
    found[name] = values[at]
  end
  return found
end

-- Returns the moment at which a run may start. The text is a number of milliseconds from now, or `@` and a moment.
local function start_of(text, moment)
  local at = string.match(text, '^@(.*)$')
  return at and math.max(tonumber(at), moment) or math.min(moment + text, 9007199254740991)
end

-- `Place::new` in core.
local function rank_of(priority, start)
  return start - priority * 1000
end

-- `Fairness` in core: the rank of the next run with a key of a fair queue. `turns` holds the next rank of each key that
-- the call has used. `keep_turns` writes them.
local function fair_rank(turns, queue, rules, key, priority)
  local of_queue = turns[queue] or {}
  turns[queue] = of_queue
  local virtual = tonumber(rules.virtual or 0)
  local rank = of_queue[key] or tonumber(redis.call('ZSCORE', base .. 'turns/' .. queue, key) or virtual)
  rank = math.max(rank, virtual)
  of_queue[key] = rank + 1
  return rank - priority
end

local function keep_turns(turns)
  for queue, of_queue in pairs(turns) do
    for key, rank in pairs(of_queue) do
      redis.call('ZADD', base .. 'turns/' .. queue, whole(rank), key)
    end
  end
end
