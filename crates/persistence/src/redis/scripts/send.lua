-- Sends messages to runs. The answer holds two words for each message: the status of its run or `-`, and the number of
-- messages that the run had not received before.
-- Arguments: nonce, number of calls whose answers have arrived, their nonces.., (id, mailbox, id of the message,
-- whether the message is small enough, payload).. The id of a message follows `=`. A message without an id has `-`.
--
-- `mail/<run>` holds the mail of a run: the messages that it has not received, under `m` and their number and mailbox;
-- under `h` and a mailbox, how many were received, and under `t`, how many were sent; under `i` and an id, the messages
-- so far; under `count`, how many messages it has not received; and `new` if the run may have missed a message: one came
-- since the execution began, and since then no receive found that the run has no messages.
local MOST = 10000

local before = answer_before(ARGV[1], 2)
if before then
  return {'done', before}
end
local moment, answers, woken = now(), {}, {}

local function deliver(id, key, status, at)
  local mail, mailbox, name = base .. 'mail/' .. id, ARGV[at + 1], ARGV[at + 2]
  if name ~= '-' then
    if redis.call('HEXISTS', mail, 'i' .. name) == 1 then
      return
    end
    redis.call('HSET', mail, 'i' .. name, 1)
  end
  local number = whole(redis.call('HINCRBY', mail, 't' .. mailbox, 1) - 1)
  redis.call('HSET', mail, 'm' .. number .. ' ' .. mailbox, ARGV[at + 4])
  -- A run that has not begun finds the message.
  if status ~= 'queued' then
    redis.call('HSET', mail, 'new', 1)
  end
  redis.call('HINCRBY', mail, 'count', 1)
  woken[id] = key
end

for at = 3 + ARGV[2], #ARGV, 5 do
  local id = ARGV[at]
  local key = run .. id
  local status = redis.call('HGET', key, 'status')
  local unread = redis.call('HGET', base .. 'mail/' .. id, 'count') or '0'
  answers[#answers + 1] = (status or '-') .. ' ' .. unread
  -- `Message::check` in core.
  if status and not has_ended(status) and ARGV[at + 3] == '1' and tonumber(unread) < MOST then
    deliver(id, key, status, at)
  end
end
for id, key in pairs(woken) do
  if redis.call('HGET', key, 'status') == 'waiting' then
    redis.call('HSET', key, 'wake', whole(moment))
    list(key, id, moment)
  end
end
local answer = table.concat(answers, ' ')
remember_answer(ARGV[1], answer)
tell()
return {'done', answer}
