-- The functions of the scripts that take a lease, and of the scripts for the holder of a lease.

-- The identity of the server process to which the store sends this call. It is empty if the server forgets no
-- acknowledged write: then a lease is valid on every process.
local server = table.remove(ARGV)

-- Returns whether the lease of a run has this token and holder. The time of the lease does not matter: a slow owner may
-- still write until another owner takes the run. Each opening has a new random `holder`. So a lost lease stays lost,
-- even if the server has forgotten that another owner took the run.
--
-- A server that was restarted, or that replaced another server, may lack the last acknowledged writes. An owner that
-- relies on such a write must not write after the gap. But the server has all writes before the gap. So a script first
-- looks for an earlier copy of its own write: if it finds the copy, the write was not lost.
local function is_lease(found, token, holder)
  local is_same = server == '' or not found[3] or found[3] == server
  return is_same and found[1] == token and found[2] == holder
end

-- Returns whether this lease is the newest one of the run and was not released.
local function holds(token, holder)
  return is_lease(redis.call('HMGET', run, 'token', 'holder', 'server'), token, holder)
end

-- Makes the lease of the run valid on this server process only.
local function bind(key)
  if server == '' then
    redis.call('HDEL', key, 'server')
  else
    redis.call('HSET', key, 'server', server)
  end
end
