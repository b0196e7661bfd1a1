-- Pauses or resumes queues.
-- Arguments: whether to pause them, queues..
for at = 2, #ARGV do
  local rules, queue = base .. 'queue/' .. marked(ARGV[at]), ARGV[at]
  if ARGV[1] == '1' then
    redis.call('HSET', rules, 'paused', 1)
    redis.call('ZADD', base .. 'queues', 0, queue)
  else
    redis.call('HDEL', rules, 'paused')
    if redis.call('HEXISTS', rules, 'settings') == 0 then
      redis.call('ZREM', base .. 'queues', queue)
    end
  end
end
tell()
return {'done'}
