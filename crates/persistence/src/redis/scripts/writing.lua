-- What all scripts share. A script is one commit: what it has read stands until it has written. One that ends in
-- an error keeps what it wrote before, so each reads the keys that it is about to change first.
--
-- The first three keys are those of one run, or the beginnings of those of all runs. `base` begins the names of all
-- other keys.
local run, records, waits, base = unpack(KEYS)

-- `..` writes a large number with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- A record: its place, kind, fingerprint, the nonce of the write, that of the question it answers, the payload.
local function record(key, nonce, asked, kind, fingerprint, payload)
  local place = whole(redis.call('HINCRBY', run, 'recorded', 1))
  redis.call('HSET', records, key, table.concat({place, kind, fingerprint, nonce, asked, payload}, ' '))
end

-- Records are gone, as they should. Where it is not known how many were gone before, it is not counted.
local function drop(count)
  if count > 0 and redis.call('HEXISTS', run, 'dropped') == 1 then
    redis.call('HINCRBY', run, 'dropped', count)
  end
end

local function nonces(record)
  return string.match(record, '^%d+ %d %S+ (%S+) (%S+) ')
end
