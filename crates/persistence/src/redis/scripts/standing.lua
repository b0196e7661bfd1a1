-- id, most -- the owner of the run, or how many runs are ahead of it if it is due.
local found, moment, most = placed(run), now(), tonumber(ARGV[2])
if is_held(found, moment) then
  return {'held', redis.call('HGET', run, 'owner') or ''}
elseif (due_at(found) or math.huge) > moment then
  return {'none'}
end
local rank, member = found.rank or 0, member_of(ARGV[1], found)

-- How many members of a set have a smaller rank, or that rank and a smaller place, by which they start.
local function before(set)
  local first = redis.call('ZCOUNT', set, '-inf', '(' .. rank)
  local last = first + redis.call('ZCOUNT', set, rank, rank)
  while first < last do
    local middle = math.floor((first + last) / 2)
    local other = redis.call('ZRANGE', set, middle, middle)[1]
    if tonumber(string.sub(other, 1, 16)) < tonumber(string.sub(member, 1, 16)) then
      first = middle + 1
    else
      last = middle
    end
  end
  return first
end

local queue, key = queue_of(found)
local ahead = key and before(base .. 'behind/' .. key) or 0
-- After the name of its queue, the name of a lane begins with a digit.
for _, workflow in ipairs(redis.call('ZRANGE', base .. 'workflows', 0, -1)) do
  local lanes = redis.call('ZRANGEBYLEX', base .. 'lanes/' .. workflow, '[' .. queue, '(' .. queue .. ':')
  for _, lane in ipairs(lanes) do
    ahead = ahead + before(base .. 'ready/' .. marked(workflow) .. lane)
  end
end
local paused = redis.call('HEXISTS', base .. 'queue/' .. queue, 'paused')
return {'in line', math.min(ahead, most), paused}
