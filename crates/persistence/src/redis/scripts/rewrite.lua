-- Replaces the journal of a run.
-- Arguments: token, holder, nonce, id, version, keys that the run failed on, number of keys, keys that waited..,
-- number of entries, (key, entry).., (key, kind, fingerprint, payload)..
if redis.call('HGET', run, 'mark') == ARGV[3] then
  return {'done'}
end
if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
redis.call('HLEN', records)
local asked, waited, at = redis.call('HKEYS', waits), {}, 8 + ARGV[7]
for number = 8, at - 1 do
  waited[ARGV[number]] = true
end
-- The script may remove only the entries that the caller has read. If others exist, or some have an answer since, it
-- changes nothing.
if #asked ~= tonumber(ARGV[7]) then
  return {'answered'}
end
for _, key in ipairs(asked) do
  if not waited[key] then
    return {'answered'}
  end
end
each_entry(ARGV[4], redis.call('HGETALL', waits), unask)
redis.call('UNLINK', records, waits)
-- If the lease has ended, the run may be ready already, in a lane of the older version.
local moment, found = now(), placed(run)
if not is_held(found, moment) then
  unlist(ARGV[4], found)
end
redis.call('HSET', run, 'version', ARGV[5], 'failed_on', ARGV[6], 'mark', ARGV[3])
list(run, ARGV[4], moment)
local last = at + 2 * ARGV[at]
while at < last do
  redis.call('HSET', waits, ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
if not has_ended(found.status) then
  each_entry(ARGV[4], redis.call('HGETALL', waits), ask)
end
for place = at + 1, #ARGV, 4 do
  record(ARGV[place], ARGV[3], '-', ARGV[place + 1], ARGV[place + 2], ARGV[place + 3])
end
count_anew()
return {'done'}
