-- What those scripts share that take a lease, or are for who holds one.

-- Which start of which server this is sent to. Empty: one that forgets nothing, so that it does not matter.
local server = table.remove(ARGV)

-- Whether a lease, as the run keeps it, is the one with that token and holder. Its time is not asked for: who was too
-- slow and was not replaced may still write. `holder` is drawn by who opened the run, so that a lease stays lost also
-- where the server forgot that it was ever replaced.
--
-- A server that was started again, and one that took the place of another, may lack what was acknowledged last:
-- who has relied on that must not write behind the gap. What it has is what came before, so that a write which
-- finds itself there is looked for first, and was not lost.
local function is_lease(found, token, holder)
  local is_same = server == '' or not found[3] or found[3] == server
  return is_same and found[1] == token and found[2] == holder
end

-- Whether this lease is the newest of the run and was not given back.
local function holds(token, holder)
  return is_lease(redis.call('HMGET', run, 'token', 'holder', 'server'), token, holder)
end

-- The lease is good on this server, and on no other.
local function bind(key)
  if server == '' then
    redis.call('HDEL', key, 'server')
  else
    redis.call('HSET', key, 'server', server)
  end
end
