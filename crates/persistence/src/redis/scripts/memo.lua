-- `claims/<holder>` holds the runs of a claim, until the store reports that the answer has arrived, or until the leases
-- have ended.
local function memo_of(holder)
  return base .. 'claims/' .. holder
end

-- Returns the runs that the claim took and that no other owner has taken since.
local function remembered(holder)
  local ids = {}
  for text in string.gmatch(redis.call('GET', memo_of(holder)) or '', '(.-)%z%z') do
    local id = string.gsub(text, '%z\1', '\0')
    if redis.call('HGET', run .. id, 'holder') == holder then
      ids[#ids + 1] = id
    end
  end
  return ids
end

local function remember(holder, ids, ttl)
  local texts = {}
  for at, id in ipairs(ids) do
    texts[at] = marked(id)
  end
  redis.call('SET', memo_of(holder), table.concat(texts), 'PX', ttl)
end
