-- Imports a run.
-- Arguments: id, nonce, number of fields, fields.., number of records, (key, kind, fingerprint, payload)..,
-- (key, entry)..
if redis.call('HLEN', run) > 0 then
  return {redis.call('HGET', run, 'imported_by') == ARGV[2] and 'added' or 'exists'}
end
-- The server may have evicted a run with this id. The parts that it has left must not mix with the imported run.
redis.call('UNLINK', records, waits, base .. 'mail/' .. ARGV[1], base .. 'values/' .. ARGV[1],
  base .. 'streams/' .. ARGV[1])
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
local found = redis.call('HMGET', run, 'status', 'queue', 'unique', 'tags')
each_tag(found[4], function(set) redis.call('ZADD', set, place, ARGV[1]) end)
if found[1] == 'queued' and found[3] then
  redis.call('HSET', keys_of(found[2]), found[3], ARGV[1])
end
if not has_ended(found[1]) then
  each_entry(ARGV[1], redis.call('HGETALL', waits), ask)
end
tell()
return {'added'}
