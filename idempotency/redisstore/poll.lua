-- POLL -> ttl_ms clock_in_microseconds record, or '' where there is none; reads only.
-- The record comes last because it may be anything.
local raw = redis.call('GET', KEYS[1])
if not raw then return '' end
local t = redis.call('TIME')
return string.format('%.0f %.0f ', redis.call('PTTL', KEYS[1]), tonumber(t[1]) * 1000000 + tonumber(t[2])) .. raw
