-- Releases the runs of a claim whose answer did not reach its caller.
-- Arguments: holder
local moment = now()
for _, id in ipairs(remembered(ARGV[1])) do
  redis.call('HDEL', run .. id, 'holder', 'owner', 'until')
  list(run .. id, id, moment)
end
redis.call('UNLINK', memo_of(ARGV[1]))
tell()
return {'done'}
