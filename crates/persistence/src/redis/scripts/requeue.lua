-- Gives a queued run, which is in no place, a start and the rank that follows from it, and puts it where it belongs.
-- `turns` is that of `fair_rank`.
local function requeue(id, found, priority, start, rules, turns, moment)
  local queue = queue_of(found)
  local rank = rules.fair and fair_rank(turns, queue, rules, found.key or '', priority) or rank_of(priority, start)
  found.rank, found.wake = whole(rank), whole(start)
  redis.call('HSET', base .. 'run/' .. id, 'priority', whole(priority), 'rank', found.rank, 'wake', found.wake)
  put(id, found, moment)
end
