if redis.call('HLEN', run) == 0 then
  return {'none'}
end
if is_torn() then
  return {'torn'}
end
return journal('there', now())
