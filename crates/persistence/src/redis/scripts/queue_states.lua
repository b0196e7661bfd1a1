-- Returns the queues that have settings or are paused, in the order of their names.
-- Arguments: maximum number of queues
local states = {'done'}
for _, queue in ipairs(redis.call('ZRANGE', base .. 'queues', 0, ARGV[1] - 1)) do
  local found = redis.call('HMGET', base .. 'queue/' .. marked(queue), 'settings', 'paused')
  states[#states + 1] = {queue, found[1], found[2]}
end
return states
