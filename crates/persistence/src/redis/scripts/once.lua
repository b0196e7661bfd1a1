-- `claims/<nonce>` also holds the answer of a call that cannot recognise its earlier copy by its effect, until the
-- store reports that the answer has arrived.

-- Returns the answer of an earlier attempt of the call, if there was one. Removes the answers that have arrived: their
-- number is the argument at `at`, and their nonces are the following arguments.
local function answer_before(nonce, at)
  for place = at + 1, at + ARGV[at] do
    redis.call('UNLINK', memo_of(ARGV[place]))
  end
  return redis.call('GET', memo_of(nonce))
end

local function remember_answer(nonce, answer)
  redis.call('SET', memo_of(nonce), answer, 'PX', 86400000)
end
