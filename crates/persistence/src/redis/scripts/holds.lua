-- token, holder -- whether the lease is held, and nothing else.
return {holds(ARGV[1], ARGV[2]) and 'done' or 'lost'}
