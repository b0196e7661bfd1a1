-- What all scripts share. A script is one commit: what it has read stands until it has written. One that ends in
-- an error keeps what it wrote before, so each reads the keys that it is about to change first.
local run, records, waits, due, asking, runs, sequence, wakes = unpack(KEYS)

-- `..` writes a large number with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- Whether this lease is the newest of the run and was not given back. Its time is not asked for: who was too slow
-- and was not replaced may still write. `holder` is drawn by who opened the run, so that a lease stays lost also
-- where the server forgot that it was ever replaced.
local function holds(token, holder)
  local lease = redis.call('HMGET', run, 'token', 'holder')
  return lease[1] == token and lease[2] == holder
end

-- A record: its place, kind, fingerprint, the nonce of the write, that of the question it answers, the payload.
local function record(key, nonce, asked, kind, fingerprint, payload)
  local place = whole(redis.call('HINCRBY', run, 'recorded', 1))
  redis.call('HSET', records, key, table.concat({place, kind, fingerprint, nonce, asked, payload}, ' '))
end

local function nonces(record)
  return string.match(record, '^%d+ %d %S+ (%S+) (%S+) ')
end

