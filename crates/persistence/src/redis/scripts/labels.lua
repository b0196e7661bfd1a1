-- The tags of runs, and the deduplication keys of queued runs.
--
-- `tag/<tag>` holds the runs with that tag, as `runs` holds all runs. `unique/<queue>` holds the run of each key: it
-- counts only as long as the run is queued with that key in that queue.

-- Calls `change` with the set of each tag.
local function each_tag(tags, change)
  for text in string.gmatch(tags or '', '(.-)%z%z') do
    local tag = string.gsub(text, '%z\1', '\0')
    change(base .. 'tag/' .. tag)
  end
end

local function keys_of(queue)
  return base .. 'unique/' .. marked(queue or '')
end

-- The queued run with that key, if there is one.
local function queued_with(queue, key)
  local id = redis.call('HGET', keys_of(queue), key)
  local found = id and redis.call('HMGET', base .. 'run/' .. id, 'status', 'queue', 'unique')
  return found and found[1] == 'queued' and (found[2] or '') == queue and found[3] == key and id or nil
end

-- The run no longer counts as the one with that key.
local function forget_key(id, queue, key)
  if key and redis.call('HGET', keys_of(queue), key) == id then
    redis.call('HDEL', keys_of(queue), key)
  end
end
