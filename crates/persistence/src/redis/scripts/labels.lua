-- The tags of runs, and the deduplication keys of queued runs.
--
-- `tag/<tag>` holds the runs with a tag, as `runs` holds all runs. `unique/<queue>` holds the run of each deduplication
-- key. An entry counts only while the run is queued with this key in this queue.

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

-- Returns the queued run with the key, if there is one.
local function queued_with(queue, key)
  local id = redis.call('HGET', keys_of(queue), key)
  local found = id and redis.call('HMGET', base .. 'run/' .. id, 'status', 'queue', 'unique')
  return found and found[1] == 'queued' and (found[2] or '') == queue and found[3] == key and id or nil
end

-- Removes the entry of the key, if it names this run.
local function forget_key(id, queue, key)
  if key and redis.call('HGET', keys_of(queue), key) == id then
    redis.call('HDEL', keys_of(queue), key)
  end
end
