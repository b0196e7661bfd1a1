-- Returns whether the lease is held.
-- Arguments: token, holder
return {holds(ARGV[1], ARGV[2]) and 'done' or 'lost'}
