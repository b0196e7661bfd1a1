-- `Allowance` in core: the number of runs of a queue that may start. `rules` are the rules of the queue, and `running`
-- is the number of its held runs. The times of a rate are in microseconds.
local function allowance_of(rules, moment, running)
  local left, rate = math.huge, nil
  if rules.concurrency then
    left = math.max(rules.concurrency - running, 0)
  end
  if rules.runs then
    local runs, from = tonumber(rules.runs), moment * 1000
    local burst = math.max(math.floor(runs / 20), 1)
    local interval = math.max(math.ceil(rules.period / (runs - burst + 1)), 1)
    local arrival = math.max(tonumber(rules.arrival or 0), from)
    local starts = math.max(burst - math.ceil((arrival - from) / interval), 0)
    rate = {left = starts, burst = burst, interval = interval, arrival = arrival}
    left = math.min(left, starts)
  end
  return {left = left, per_key = tonumber(rules.per_key or nil), rate = rate}
end

-- Returns the number of runs with a key that may start. `running` is the number of its running runs.
local function left_for(allowance, running)
  return allowance.per_key and math.max(allowance.per_key - running, 0) or math.huge
end

-- Counts a run that starts.
local function admit(allowance)
  local rate = allowance.rate
  allowance.left = allowance.left - 1
  if rate then
    rate.left = rate.left - 1
    rate.arrival = rate.arrival + rate.interval
  end
end

-- Returns the moment at which the rate permits the next start, if it permits none now.
local function opens_at(allowance)
  local rate = allowance.rate
  if rate and rate.left == 0 then
    return math.ceil(math.max(rate.arrival - rate.interval * (rate.burst - 1), 0) / 1000)
  end
end
