-- `claims/<nonce>` also remembers the answer of a call that would not recognise its earlier copy otherwise, until the
-- store says that it has heard of it.

-- The answer of an earlier attempt of the call, if there was one. The calls whose answers have arrived are forgotten:
-- their number is the argument at `at`, and they follow it.
local function answer_before(nonce, at)
  for place = at + 1, at + ARGV[at] do
    redis.call('UNLINK', memo_of(ARGV[place]))
  end
  return redis.call('GET', memo_of(nonce))
end

local function remember_answer(nonce, answer)
  redis.call('SET', memo_of(nonce), answer, 'PX', 86400000)
end
