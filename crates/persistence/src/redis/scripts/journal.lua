-- The state of a run, as the store reads it.
local SUMMARY = {'workflow', 'version', 'status', 'fingerprint', 'error', 'failed_on', 'created', 'changed', 'wake',
  'cancel', 'place', 'token', 'until', 'holder', 'queue', 'key', 'priority', 'rank', 'start_by', 'paused', 'crashes',
  'parent', 'tags', 'unique', 'restarts', 'outcome'}

-- Whether records are missing: those are there that were recorded and not dropped since, unless a server whose
-- memory was full has thrown them away. Runs of before that was counted do not tell.
local function is_torn()
  local count = redis.call('HMGET', run, 'recorded', 'dropped')
  return count[2] and redis.call('HLEN', records) ~= (count[1] or 0) - count[2]
end

-- Takes it that all records are there that should be.
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
