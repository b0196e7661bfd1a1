-- Finds the runs that have become due, and the runs that may start now, since the last claim.

-- The maximum number of runs that one call moves, and the maximum number of queues and of keys that it checks.
local MOVES, LOOKS = 500, 64

-- The time in milliseconds after which a claim checks a key again, even if no call has changed a run of the key: a
-- server with full memory may have evicted some of the runs.
local PAUSE = 60000

-- Moves runs to their places. A run that cannot be read is in no place after this.
local function move(ids, from, moment)
  for _, id in ipairs(ids) do
    redis.call('ZREM', from, id)
    pcall(list, run .. id, id, moment)
  end
  return #ids
end

-- Moves the runs whose leases have ended, and the runs whose time has come. Returns whether there may be more.
local function promote(moment)
  local left = MOVES
  local queues = redis.call('ZRANGEBYSCORE', lapses, '-inf', moment, 'LIMIT', 0, LOOKS)
  for _, queue in ipairs(queues) do
    local held = base .. 'held/' .. queue
    left = left - move(redis.call('ZRANGEBYSCORE', held, '-inf', moment, 'LIMIT', 0, left), held, moment)
    local first = redis.call('ZRANGE', held, 0, 0, 'WITHSCORES')
    if first[1] then
      redis.call('ZADD', lapses, first[2], queue)
    else
      redis.call('ZREM', lapses, queue)
    end
  end
  left = left - move(redis.call('ZRANGEBYSCORE', due, '-inf', moment, 'LIMIT', 0, left), due, moment)
  return left == 0 or #queues == LOOKS
end

-- Makes a run ready that was behind the limit of its key.
local function advance(id, moment)
  local found = placed(run .. id)
  if is_held(found, moment) or (due_at(found) or math.huge) > moment then
    return list(run .. id, id, moment)
  end
  ready(id, found, '+')
end

-- Checks each key whose runs a call has changed, and makes as many of its runs ready as may start. `rules` returns the
-- rules of a queue. Returns whether there may be more.
local function catch_up(moment, rules)
  local left = MOVES
  local keys = redis.call('ZRANGEBYSCORE', behind, '-inf', moment, 'LIMIT', 0, LOOKS)
  for _, key in ipairs(keys) do
    local set, may = base .. 'behind/' .. key, left
    local per_key = tonumber(rules(string.match(key, '^(.-%z%z)')).per_key or nil)
    if per_key then
      may = math.min(per_key - redis.call('ZCOUNT', base .. 'held/' .. key, '(' .. whole(moment), '+inf'), left)
    end
    redis.call('ZREM', behind, key)
    local members = may > 0 and redis.call('ZRANGE', set, 0, may - 1) or {}
    for _, member in ipairs(members) do
      redis.call('ZREM', set, member)
      pcall(advance, string.sub(member, 17), moment)
    end
    if redis.call('EXISTS', set) == 1 then
      redis.call('ZADD', behind, may == left and 0 or whole(moment + PAUSE), key)
    end
    left = left - #members
  end
  return left == 0 or #keys == LOOKS
end
