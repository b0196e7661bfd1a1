-- What the scripts share that do more than record an outcome.

-- Milliseconds, by the clock of the server: nobody else's counts.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function has_ended(status)
  return status == 'completed' or status == 'failed' or status == 'cancelled'
end

-- An entry that waits: since when, until when, the nonce of the write, the length of the token, token and request.
local function expiry(entry)
  local expires, nonce = string.match(entry, '^%S+ (%S+) (%S+) ')
  return expires ~= '-' and tonumber(expires) or nil, nonce
end

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

-- Where an entry is found by its token: behind the token, whose end is marked as that of a run id is in `member`.
local function by_token(member, entry)
  local length, start = string.match(entry, '^%S+ %S+ %S+ (%d+) ()')
  local token = string.gsub(string.sub(entry, start, start + length - 1), '%z', '\0\1')
  return token .. '\0\0' .. member
end

-- Puts an entry among those that are found.
local function list(member, entry)
  redis.call('ZADD', asking, string.match(entry, '^%S+'), member)
  redis.call('ZADD', tokens, 0, by_token(member, entry))
end

local function unlist(member, entry)
  redis.call('ZREM', asking, member)
  redis.call('ZREM', tokens, by_token(member, entry))
end

local function settle(key, member, entry, nonce, kind, fingerprint, payload)
  local _, asked = expiry(entry)
  record(key, nonce, asked, kind, fingerprint, payload)
  redis.call('HDEL', waits, key)
  unlist(member, entry)
end

-- Keeps the run where those are found that are due, under the moment since when it is. A run that somebody holds
-- is found there too once that moment has come, and is passed over.
local function index_due(id)
  local field = redis.call('HMGET', run, 'status', 'wake', 'until', 'changed')
  local since = false
  if field[1] == 'running' then
    since = field[3] or field[4]
  elseif field[1] == 'waiting' then
    since = field[2]
  end
  if since then
    redis.call('ZADD', due, since, id)
  else
    redis.call('ZREM', due, id)
  end
end

-- Keeps the entries of the run where those are found that wait, unless the run has ended.
local function index_asking(prefix)
  local ended = has_ended(redis.call('HGET', run, 'status'))
  local entries = redis.call('HGETALL', waits)
  for at = 1, #entries, 2 do
    if ended then
      unlist(prefix .. entries[at], entries[at + 1])
    else
      list(prefix .. entries[at], entries[at + 1])
    end
  end
end

-- Nothing depends on it: a user who may not publish still writes.
local function tell()
  redis.pcall('PUBLISH', wakes, '')
end

local SUMMARY = {'workflow', 'version', 'status', 'fingerprint', 'error', 'failed_on', 'created', 'changed', 'wake',
  'cancel', 'place', 'token', 'until', 'holder', 'outcome'}

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
