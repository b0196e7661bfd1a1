-- Answers the parents of ended children.

-- The outcome of a child that ended without an outcome, as `Header::report` in core returns it.
local CANCELLED = '2 {"cancelled":{"step":null}}'

-- `ChildQuestion` in core: whether the request of a waiting entry asks for that child. A request that cannot be read may
-- ask for it.
local function asks_for(entry, child)
  local length, start = string.match(entry, '^%S+ %S+ %S+ (%d+) ()')
  local is_json, request = pcall(cjson.decode, string.sub(entry, start + length))
  return not is_json or type(request) ~= 'table' or type(request.child) ~= 'string' or request.child == child
end

-- Answers the entry that waits for the end of a run, under the key of a step of its parent. `key` is the run's key of
-- the server, and `parent` the length of the parent's id, the id, and the key of the step.
local function report(key, parent, moment)
  local length, start = string.match(parent, '^(%d+) ()')
  local id, step = string.sub(parent, start, start + length - 1), string.sub(parent, start + length)
  local to, own, asked = base .. 'run/' .. id, base .. 'records/' .. id, base .. 'waits/' .. id
  local status, entry = redis.call('HGET', to, 'status'), redis.call('HGET', asked, step)
  if not status or has_ended(status) or not entry or redis.call('HEXISTS', own, step) == 1 then
    return
  end
  local expires, nonce = expiry(entry)
  if expires and expires <= moment or not asks_for(entry, string.sub(key, #base + #'run/' + 1)) then
    return
  end
  local kind, payload = string.match(redis.call('HGET', key, 'outcome') or CANCELLED, '^(%d) (.*)$')
  local place = whole(redis.call('HINCRBY', to, 'recorded', 1))
  redis.call('HSET', own, step, table.concat({place, kind, '-', '-', nonce, payload}, ' '))
  redis.call('HDEL', asked, step)
  unask(marked(id) .. step, entry)
  if status == 'waiting' then
    redis.call('HSET', to, 'wake', whole(moment))
    list(to, id, moment)
  end
end
