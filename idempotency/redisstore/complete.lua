-- COMPLETE token fence ttl_ms payload_hash life attempts
-- -> class fence
local token, fence, ttl, phash = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local s, given, a, _, _, owner, hash, life = load()
if s == 'bad' then return unreadable() end

if not s then
  -- The record was lost, but the effect has happened: it is recorded.
  redis.call('SET', key, '1|C|' .. fence .. '|' .. ARGV[6] .. '|0|0|' .. token .. '|' .. phash .. '|' .. ARGV[5], 'PX', ttl)
  return 'R ' .. fence
end
-- Of another payload: possible to the holder of a claim once its record was lost.
local other = phash ~= '' and hash ~= '' and phash ~= hash
if s == 'C' and not other then
  if owner ~= token then return 'C ' .. given end
  -- The reply to this very completion was lost; written again for WAIT.
  redis.call('SET', key, redis.call('GET', key), 'PX', ttl)
  return 'O ' .. given
end
-- A holder that was overtaken changes nothing.
if s ~= 'P' or owner ~= token or given ~= fence then return 'X ' .. given end

-- Attempts, payload hash and life stay as they were claimed.
redis.call('SET', key, '1|C|' .. given .. '|' .. a .. '|0|0|' .. owner .. '|' .. hash .. '|' .. life, 'PX', ttl)
return 'O ' .. given
