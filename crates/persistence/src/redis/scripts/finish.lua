-- (number of the following, token, holder, nonce, id, wake, whether the owner was cancelling it, number of keys, keys
-- that are waited on.., fields..).. -- ends executions, of one run each.
local moment = now()

-- Whether something was answered that the run waits for.
local function is_answered(id, first, last)
  for at = first, last do
    if redis.call('HEXISTS', records .. id, ARGV[at]) == 1 then
      return true
    end
  end
  return false
end

local function finish(at, last)
  local token, holder, nonce, id, wake, cancelling = unpack(ARGV, at, at + 5)
  local key, fields = run .. id, at + 7 + ARGV[at + 6]
  local found = redis.call('HMGET', key, 'token', 'holder', 'server', 'finished_by', 'queue', 'key', 'cancel', 'wake',
    'outcome', 'error', 'failed_on')
  if found[4] == nonce then
    return 'done'
  end
  if not is_lease(found, token, holder) then
    return 'lost'
  end
  local waiting = false
  for field = fields, last, 2 do
    waiting = waiting or ARGV[field] == 'status' and ARGV[field + 1] == 'waiting'
  end
  local entries = not waiting and redis.call('HGETALL', waits .. id) or {}
  local asked, gone = found[7], {'holder', 'until'}
  if waiting and (asked and cancelling == '0' or is_answered(id, at + 7, fields - 1)) then
    wake = whole(moment)
  end
  for number, name in ipairs({'cancel', 'wake', 'outcome', 'error', 'failed_on'}) do
    if found[6 + number] then
      gone[#gone + 1] = name
    end
  end
  redis.call('HDEL', key, unpack(gone))
  redis.call('HSET', key, 'finished_by', nonce, 'changed', whole(moment), unpack(ARGV, fields, last))
  -- A request to cancel the run stays until the run has ended.
  if waiting and (asked or cancelling == '1') then
    redis.call('HSET', key, 'cancel', 1)
  end
  if wake ~= '-' then
    redis.call('HSET', key, 'wake', wake)
  end
  if waiting then
    list(key, id, moment)
  elseif not unhold(id, {queue = found[5], key = found[6]}) then
    unlist(id, function() return placed(key) end)
  end
  each_entry(id, entries, unask)
  return 'done'
end

-- Runs that share a call do not share a failure.
local answers, at = {}, 1
while at <= #ARGV do
  local last = at + ARGV[at]
  local is_done, answer = pcall(finish, at + 1, last)
  answers[#answers + 1] = is_done and {answer} or {'failed', type(answer) == 'table' and answer.err or answer}
  at = last + 1
end
tell()
return answers
