-- Publishes values and items of streams. If a stream cannot accept an item, the script publishes nothing, and returns
-- the number of the item and the length of the stream.
-- Arguments: token, holder, id, (name, index or nothing, payload)..
--
-- `values/<run>` holds the values by their names. `streams/<run>` holds each item under its index and the name of the
-- stream. The field `n<stream>` holds the length of a stream.
local MOST = 100000

if not holds(ARGV[1], ARGV[2]) then
  return {'lost'}
end
local values, streams, lengths = base .. 'values/' .. ARGV[3], base .. 'streams/' .. ARGV[3], {}
redis.call('HLEN', values)

-- The rule of `limits::stream_item`. The script ignores an item that the stream has already.
local items = {}
for at = 4, #ARGV, 3 do
  local name, index = ARGV[at], tonumber(ARGV[at + 1])
  if index then
    local length = lengths[name] or tonumber(redis.call('HGET', streams, 'n' .. name) or 0)
    if index > length or index >= MOST then
      return {'refused', (at - 4) / 3, whole(length)}
    elseif index == length then
      items[#items + 1] = at
      length = length + 1
    end
    lengths[name] = length
  end
end
for at = 4, #ARGV, 3 do
  if ARGV[at + 1] == '' then
    redis.call('HSET', values, ARGV[at], ARGV[at + 2])
  end
end
for _, at in ipairs(items) do
  redis.call('HSET', streams, whole(tonumber(ARGV[at + 1])) .. ' ' .. ARGV[at], ARGV[at + 2])
end
for name, length in pairs(lengths) do
  redis.call('HSET', streams, 'n' .. name, whole(length))
end
tell()
return {'done'}
