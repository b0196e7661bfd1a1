-- Takes the oldest message of a mailbox, and records it.
-- Arguments: token, holder, nonce, id, key, member, mailbox
local old = redis.call('HGET', records, ARGV[5])
local is_ours = old and nonces(old) == ARGV[3]
if not is_ours and not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
if old then
  return {'stands', old}
end
local mail, mailbox = base .. 'mail/' .. ARGV[4], ARGV[7]
local name = 'm' .. (redis.call('HGET', mail, 'h' .. mailbox) or '0') .. ' ' .. mailbox
local payload, entry = redis.call('HGET', mail, name), redis.call('HGET', waits, ARGV[5])
if not payload then
  -- Another mailbox may contain a message that came since the run looked there.
  if tonumber(redis.call('HGET', mail, 'count') or 0) == 0 then
    redis.call('HDEL', mail, 'new')
  end
  return {'empty'}
end
redis.call('HDEL', mail, name)
redis.call('HINCRBY', mail, 'h' .. mailbox, 1)
redis.call('HINCRBY', mail, 'count', -1)
if entry then
  settle(ARGV[5], ARGV[6], entry, ARGV[3], '0', '-', payload)
else
  record(ARGV[5], ARGV[3], '-', '0', '-', payload)
end
return {'stands', redis.call('HGET', records, ARGV[5])}
