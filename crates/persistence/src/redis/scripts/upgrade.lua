-- the name of the format, the new format -- brings up to date what the format before wrote: the keys are those of a
-- run without an id.
if redis.call('GET', ARGV[1]) ~= '1' then
  return {'done'}
end
-- Entries could not be found by their tokens.
for _, member in ipairs(redis.call('ZRANGE', asking, 0, -1)) do
  local at = string.find(member, '\0\0', 1, true)
  local id = string.gsub(string.sub(member, 1, at - 1), '%z\1', '\0')
  local entry = redis.call('HGET', waits .. id, string.sub(member, at + 2))
  if entry then
    list(member, entry)
  end
end
redis.call('SET', ARGV[1], ARGV[2])
return {'done'}
