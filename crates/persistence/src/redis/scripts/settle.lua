-- Replaces a waiting entry with its outcome.
-- Arguments: token, holder, nonce, key, kind, fingerprint, payload, member, how it ends
local old = redis.call('HGET', records, ARGV[4])
local is_ours = old and nonces(old) == ARGV[3]
if not is_ours and not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
if old then
  return {'stands', old}
end
local entry = redis.call('HGET', waits, ARGV[4])
if not entry or has_ended(redis.call('HGET', run, 'status')) then
  return {'waits'}
end
local expires = expiry(entry)
local is_over = expires and expires <= now()
if (ARGV[9] == 'expire' and not is_over) or (ARGV[9] == 'answer' and is_over) then
  return {'waits'}
end
settle(ARGV[4], ARGV[8], entry, ARGV[3], ARGV[5], ARGV[6], ARGV[7])
return {'stands', redis.call('HGET', records, ARGV[4])}
