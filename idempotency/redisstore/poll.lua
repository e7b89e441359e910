-- POLL -> {record, ttl_ms, clock in microseconds}; reads only. The record is ''
-- where there is none.
local t = redis.call('TIME')
local raw = redis.call('GET', KEYS[1])
if not raw then return {'', '0', '0'} end
return {raw, string.format('%.0f', redis.call('PTTL', KEYS[1])),
  string.format('%.0f', tonumber(t[1]) * 1000000 + tonumber(t[2]))}
