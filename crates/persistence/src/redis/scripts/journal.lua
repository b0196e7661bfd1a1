-- The state of a run, in the form that the store reads.
local SUMMARY = {'workflow', 'version', 'status', 'fingerprint', 'error', 'failed_on', 'created', 'changed', 'wake',
  'cancel', 'place', 'token', 'until', 'holder', 'queue', 'key', 'priority', 'rank', 'start_by', 'paused', 'crashes',
  'parent', 'tags', 'unique', 'restarts', 'outcome'}

-- Returns whether records are missing, because a server with full memory has evicted them. A run must have as many
-- records as were recorded and not dropped since. The function returns `nil` for an old run without these counts.
local function is_torn()
  local count = redis.call('HMGET', run, 'recorded', 'dropped')
  return count[2] and redis.call('HLEN', records) ~= (count[1] or 0) - count[2]
end

-- Sets the counts of a run so that they match its records.
local function count_anew()
  local recorded = redis.call('HGET', run, 'recorded') or 0
  redis.call('HSET', run, 'dropped', whole(recorded - redis.call('HLEN', records)))
end

local function summary(word, moment)
  return {word, whole(moment), redis.call('HMGET', run, unpack(SUMMARY))}
end

local function journal(word, moment)
  local found = summary(word, moment)
  found[4] = redis.call('HGET', run, 'input')
  found[5] = redis.call('HGETALL', records)
  found[6] = redis.call('HGETALL', waits)
  return found
end
