-- Ends executions, each of one run.
-- Arguments: (number of the following arguments, id, token, holder, nonce, wake, whether the owner was cancelling the
-- run, number of keys, keys on which the run waits.., fields..)..
local moment = now()
local changed = whole(moment)

-- The runs to take out of the sets of held runs, by queue.
local freed = {}

-- Returns whether an entry on which the run waits has an answer, or a message came since the run found a mailbox empty.
local function is_answered(id, first, last)
  for at = first, last do
    if redis.call('HEXISTS', records .. id, ARGV[at]) == 1 then
      return true
    end
  end
  return redis.call('HEXISTS', base .. 'mail/' .. id, 'new') == 1
end

local function wait(id, key, asked, at, fields)
  local wake, cancelling = ARGV[at + 4], ARGV[at + 5] == '1'
  -- A request to cancel the run stays until the run has ended.
  if asked or cancelling then
    redis.call('HSET', key, 'cancel', 1)
  end
  local may_be_answered = fields > at + 7
  if asked and not cancelling or may_be_answered and is_answered(id, at + 7, fields - 1) then
    wake = changed
  end
  if wake ~= '-' then
    redis.call('HSET', key, 'wake', wake)
  end
  list(key, id, moment)
end

local function finish(at, last)
  local id, token, holder, nonce = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local key, fields = run .. id, at + 7 + ARGV[at + 6]
  local found = redis.call('HMGET', key, 'token', 'holder', 'server', 'finished_by', 'status', 'queue', 'key', 'cancel',
    'parent')
  if found[4] == nonce then
    return 'done'
  elseif not is_lease(found, token, holder) then
    return 'lost'
  end
  -- The status is the first field.
  local waits_on = ARGV[fields + 1] == 'waiting'
  local entries = not waits_on and redis.call('HGETALL', waits .. id) or {}
  if found[5] ~= 'running' then
    redis.call('HDEL', key, 'wake', 'outcome', 'error', 'failed_on')
  end
  if found[8] then
    redis.call('HDEL', key, 'cancel')
  end
  redis.call('HSET', key, 'holder', '', 'owner', '', 'finished_by', nonce, 'changed', changed, unpack(ARGV, fields, last))
  if waits_on then
    wait(id, key, found[8], at, fields)
    return 'done'
  end
  local queue, queue_key = queue_of({queue = found[6], key = found[7]})
  if queue_key then
    redis.call('ZREM', base .. 'held/' .. queue_key, id)
    touch(queue_key)
  end
  local ids = freed[queue] or {}
  freed[queue], ids[#ids + 1] = ids, id
  each_entry(id, entries, unask)
  if found[9] then
    report(key, found[9], moment)
  end
  return 'done'
end

-- If one run of the call fails, the other runs are not affected.
local answers, at = {}, 1
while at <= #ARGV do
  local last = at + ARGV[at]
  local is_done, answer = pcall(finish, at + 1, last)
  answers[#answers + 1] = is_done and {answer} or {'failed', type(answer) == 'table' and answer.err or answer}
  at = last + 1
end
for queue, ids in pairs(freed) do
  if redis.call('ZREM', base .. 'held/' .. queue, unpack(ids)) < #ids then
    -- A claim has noticed that some of these leases had ended, and has moved their runs to another place.
    for _, id in ipairs(ids) do
      unlist(id, placed(run .. id))
    end
  end
end
tell()
return answers
