-- Converts the data of older formats.
-- Arguments: the new format
local format = base .. 'format'
if tonumber(redis.call('GET', format)) >= tonumber(ARGV[1]) then
  return {'done'}
end
-- The first format had no set of the entries by their tokens.
if redis.call('GET', format) == '1' then
  for _, member in ipairs(redis.call('ZRANGE', asking, 0, -1)) do
    local at = string.find(member, '\0\0', 1, true)
    local id = string.gsub(string.sub(member, 1, at - 1), '%z\1', '\0')
    local entry = redis.call('HGET', waits .. id, string.sub(member, at + 2))
    if entry then
      ask(member, entry)
    end
  end
end
-- In the second format, `due` held all runs that have not ended, even runs with a lease. A claim or a renewal moves
-- each of them to its place in the new format.
redis.call('SET', format, ARGV[1])
return {'done'}
