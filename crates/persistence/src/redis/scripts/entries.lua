-- The entries that wait for an answer, and the sets that list them.
local asking, tokens = base .. 'asking', base .. 'tokens'

-- Returns the expiry and the nonce of an entry. The text of an entry is the moment since which it waits, the moment at
-- which it expires, the nonce of the write, the length of the token, the token and the request.
local function expiry(entry)
  local expires, nonce = string.match(entry, '^%S+ (%S+) (%S+) ')
  return expires ~= '-' and tonumber(expires) or nil, nonce
end

-- Returns the name of an entry in the set `tokens`. It begins with the token.
local function by_token(member, entry)
  local length, start = string.match(entry, '^%S+ %S+ %S+ (%d+) ()')
  return marked(string.sub(entry, start, start + length - 1)) .. member
end

local function ask(member, entry)
  redis.call('ZADD', asking, string.match(entry, '^%S+'), member)
  redis.call('ZADD', tokens, 0, by_token(member, entry))
end

local function unask(member, entry)
  redis.call('ZREM', asking, member)
  redis.call('ZREM', tokens, by_token(member, entry))
end

local function settle(key, member, entry, nonce, kind, fingerprint, payload)
  local _, asked = expiry(entry)
  record(key, nonce, asked, kind, fingerprint, payload)
  redis.call('HDEL', waits, key)
  unask(member, entry)
end

-- Calls `change`, which is `ask` or `unask`, with each entry of the run.
local function each_entry(id, entries, change)
  if #entries == 0 then
    return
  end
  local prefix = marked(id)
  for at = 1, #entries, 2 do
    change(prefix .. entries[at], entries[at + 1])
  end
end
