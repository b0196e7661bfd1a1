-- Changes schedules, if their versions are as given. The answer has a digit for each change: whether the script made
-- it.
-- Arguments: nonce, number of calls whose answers have arrived, their nonces.., (name, version or nothing, whether the
-- schedule stays, next time or nothing, rule)..
local before = answer_before(ARGV[1], 2)
if before then
  return {'done', before}
end

local function put(name, version, due, rule)
  redis.call('HSET', base .. 'schedule/' .. name, 'version', version, 'rule', rule)
  redis.call('ZADD', base .. 'schedules', 0, name)
  if due == '' then
    redis.call('HDEL', base .. 'schedule/' .. name, 'due')
    redis.call('ZREM', base .. 'alarms', name)
  else
    redis.call('HSET', base .. 'schedule/' .. name, 'due', due)
    redis.call('ZADD', base .. 'alarms', due, name)
  end
end

local function remove(name)
  redis.call('UNLINK', base .. 'schedule/' .. name)
  redis.call('ZREM', base .. 'schedules', name)
  redis.call('ZREM', base .. 'alarms', name)
end

local answers = {}
for at = 3 + ARGV[2], #ARGV, 5 do
  local name, version = ARGV[at], ARGV[at + 1]
  local is_known = (redis.call('HGET', base .. 'schedule/' .. name, 'version') or '') == version
  if is_known and ARGV[at + 2] == '1' then
    put(name, whole(version == '' and now() or version + 1), ARGV[at + 3], ARGV[at + 4])
  elseif is_known then
    remove(name)
  end
  answers[#answers + 1] = is_known and '1' or '0'
end
local answer = table.concat(answers)
remember_answer(ARGV[1], answer)
tell()
return {'done', answer}
