if redis.call('HLEN', run) == 0 then
  return {'none'}
end
return journal('there', now())
