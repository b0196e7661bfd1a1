-- Returns whether the run has ended, and the items of a stream from an index on.
-- Arguments: id, stream, index, maximum number of items
local status = redis.call('HGET', run, 'status')
if not status then
  return {'none'}
end
local streams, name, from = base .. 'streams/' .. ARGV[1], ARGV[2], tonumber(ARGV[3])
local length = tonumber(redis.call('HGET', streams, 'n' .. name) or 0)
local fields = {}
for index = from, math.min(from + ARGV[4], length) - 1 do
  fields[#fields + 1] = whole(index) .. ' ' .. name
end
local items = #fields > 0 and redis.call('HMGET', streams, unpack(fields)) or {}
return {'there', has_ended(status) and '1' or '0', items}
