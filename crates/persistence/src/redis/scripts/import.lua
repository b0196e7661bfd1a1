-- id, nonce, number of fields, fields.., number of records, (key, kind, fingerprint, payload).., (key, entry)..
if redis.call('HLEN', run) > 0 then
  return {redis.call('HGET', run, 'imported_by') == ARGV[2] and 'added' or 'exists'}
end
-- The rest of a run that the server has thrown away: this is a copy of it, or another one of that name.
redis.call('UNLINK', records, waits)
local place = whole(redis.call('INCR', base .. 'sequence'))
redis.call('HSET', run, 'token', 0, 'imported_by', ARGV[2], 'place', place, 'dropped', 0,
  unpack(ARGV, 4, 3 + ARGV[3]))
local at = 5 + ARGV[3]
local last = at + 4 * ARGV[at - 1]
while at < last do
  record(ARGV[at], ARGV[2], '-', ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  at = at + 4
end
while at < #ARGV do
  redis.call('HSET', waits, ARGV[at], ARGV[at + 1])
  at = at + 2
end
redis.call('ZADD', base .. 'runs', place, ARGV[1])
list(run, ARGV[1], now())
if not has_ended(redis.call('HGET', run, 'status')) then
  each_entry(ARGV[1], redis.call('HGETALL', waits), ask)
end
tell()
return {'added'}
