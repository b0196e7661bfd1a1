-- Sets the start and the rank of a queued run, and puts the run into its place. The run is in no place before the call.
-- `turns` is the table of `fair_rank`.
local function requeue(id, found, priority, start, rules, turns, moment)
  local queue = queue_of(found)
  local rank = rules.fair and fair_rank(turns, queue, rules, found.key or '', priority) or rank_of(priority, start)
  found.rank, found.wake = whole(rank), whole(start)
  redis.call('HSET', base .. 'run/' .. id, 'priority', whole(priority), 'rank', found.rank, 'wake', found.wake)
  put(id, found, moment)
end
