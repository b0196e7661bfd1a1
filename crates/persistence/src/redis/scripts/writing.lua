-- The functions of all scripts. A script is one commit: no other call changes the data that it has read before it ends.
-- If a script fails, the server keeps the writes before the error. So each script reads the keys that it changes before
-- its first write.
--
-- The first three keys belong to one run, or they are the beginnings of the keys of all runs. The names of all other
-- keys begin with `base`.
local run, records, waits, base = unpack(KEYS)

-- Returns a number as text. The operator `..` would write a large number with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- Writes a record. Its text is its place, its kind, its fingerprint, the nonce of the write, the nonce of the question
-- that it answers, and the payload.
local function record(key, nonce, asked, kind, fingerprint, payload)
  local place = whole(redis.call('HINCRBY', run, 'recorded', 1))
  redis.call('HSET', records, key, table.concat({place, kind, fingerprint, nonce, asked, payload}, ' '))
end

-- Counts records that the script has dropped. Does not count them for an old run without this count.
local function drop(count)
  if count > 0 and redis.call('HEXISTS', run, 'dropped') == 1 then
    redis.call('HINCRBY', run, 'dropped', count)
  end
end

local function nonces(record)
  return string.match(record, '^%d+ %d %S+ (%S+) (%S+) ')
end
