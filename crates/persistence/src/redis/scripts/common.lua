-- What the scripts share that do more than record an outcome.

-- Milliseconds, by the clock of the server: no other clock counts.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function has_ended(status)
  return status == 'completed' or status == 'failed' or status == 'cancelled'
end

-- Marks the end of a text, as `marked` in names.rs does.
local function marked(text)
  return string.gsub(text, '%z', '\0\1') .. '\0\0'
end

-- Nothing depends on it: a user who may not publish still writes.
local function tell()
  redis.pcall('PUBLISH', base .. 'wakes', '')
end
