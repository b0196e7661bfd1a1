-- Sends messages to runs. The answer holds two words for each message: the status of its run or `-`, and the number of
-- messages that the run had not received before.
-- Arguments: nonce, number of calls whose answers have arrived, their nonces.., (id, mailbox, id of the message,
-- whether the message is small enough, payload).. The id of a message follows `=`. A message without an id has `-`.
--
-- `mail/<run>` holds the mail of a run, in these fields:
--
-- - `m<number> <mailbox>`: a message that the run has not received.
-- - `h<mailbox>`: the number of received messages. `t<mailbox>`: the number of sent messages.
-- - `i<id>`: set if the run got a message with this id.
-- - `count`: the number of messages that the run has not received.
-- - `new`: set if a message came since the run last found a mailbox empty.
local MOST = 10000

local before = answer_before(ARGV[1], 2)
if before then
  return {'done', before}
end
local moment, answers, woken = now(), {}, {}

local function deliver(id, key, at)
  local mail, mailbox, name = base .. 'mail/' .. id, ARGV[at + 1], ARGV[at + 2]
  if name ~= '-' then
    if redis.call('HEXISTS', mail, 'i' .. name) == 1 then
      return
    end
    redis.call('HSET', mail, 'i' .. name, 1)
  end
  local number = whole(redis.call('HINCRBY', mail, 't' .. mailbox, 1) - 1)
  redis.call('HSET', mail, 'm' .. number .. ' ' .. mailbox, ARGV[at + 4], 'new', 1)
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
    deliver(id, key, at)
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
