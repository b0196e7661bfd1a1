-- Returns the schedule with a name, the schedules that are due at a moment, or the schedules in the order of their
-- names.
-- Arguments: name, moment, name before the first schedule, maximum number. The argument `-` stands for no value. A name
-- follows `=`.
--
-- `schedule/<name>` holds the version, the rule, and the next time of a schedule. `schedules` holds the names. `alarms`
-- holds the names of the schedules with a next time, by that time.
local names
if ARGV[1] ~= '-' then
  names = {string.sub(ARGV[1], 2)}
elseif ARGV[2] ~= '-' then
  -- If the caller reads on after a name, the names of all due schedules decide which ones follow.
  local most = ARGV[3] == '-' and ARGV[4] or -1
  names = redis.call('ZRANGEBYSCORE', base .. 'alarms', '-inf', ARGV[2], 'LIMIT', 0, most)
else
  local from = ARGV[3] == '-' and '-' or '(' .. string.sub(ARGV[3], 2)
  names = redis.call('ZRANGEBYLEX', base .. 'schedules', from, '+', 'LIMIT', 0, ARGV[4])
end
local found = {'done'}
for _, name in ipairs(names) do
  local fields = redis.call('HMGET', base .. 'schedule/' .. name, 'version', 'rule', 'due')
  if fields[1] then
    found[#found + 1] = {name, fields[1], fields[2], fields[3]}
  end
end
return found
