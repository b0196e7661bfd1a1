-- Sets the settings of queues.
-- Arguments: whether they are a declaration, (queue, settings, concurrency, per key, runs, period, whether it is
-- fair)..
local LIMITS = {'concurrency', 'per_key', 'runs', 'period', 'fair'}

local function configure(at)
  local queue = marked(ARGV[at])
  local rules, settings = base .. 'queue/' .. queue, ARGV[at + 1]
  if ARGV[1] == '1' then
    if redis.call('HGET', rules, 'declared') == settings then
      return
    end
    redis.call('HSET', rules, 'declared', settings)
  end
  redis.call('HSET', rules, 'settings', settings)
  for number, name in ipairs(LIMITS) do
    local value = ARGV[at + 1 + number]
    if value == '-' then
      redis.call('HDEL', rules, name)
    else
      redis.call('HSET', rules, name, value)
    end
  end
  redis.call('ZADD', base .. 'queues', 0, ARGV[at])
  -- The new settings may permit more runs of a key.
  for _, key in ipairs(redis.call('ZRANGE', behind, 0, -1)) do
    if string.sub(key, 1, #queue) == queue then
      touch(key)
    end
  end
end

for at = 2, #ARGV, 7 do
  configure(at)
end
tell()
return {'done'}
