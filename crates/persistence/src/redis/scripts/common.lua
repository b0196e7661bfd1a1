-- The functions of all scripts that do more than record an outcome.

-- Returns the time in milliseconds, by the clock of the server. The store uses no other clock.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function has_ended(status)
  return status == 'completed' or status == 'failed' or status == 'cancelled'
end

-- Marks the end of a text, as `marked` in names.rs.
local function marked(text)
  return string.gsub(text, '%z', '\0\1') .. '\0\0'
end

-- Notifies the listeners. No promise depends on this, so a user without the right to publish can still write.
local function tell()
  redis.pcall('PUBLISH', base .. 'wakes', '')
end
