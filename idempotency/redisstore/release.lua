-- RELEASE token fence ttl_ms charge
-- charge: 'charge' leaves the attempt counted, 'refund' takes it back, 'reset'
-- starts the count anew.
-- -> class fence attempts
local token, fence, ttl, charge = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local s, given, a, dups, _, owner, hash, life = load()
if s == 'bad' then return unreadable() end

if not s then return 'L ' .. fence .. ' 0' end
if s == 'C' or owner ~= token or given ~= fence then return 'X ' .. given .. ' 0' end

-- A free record under this token is a repetition: the attempt is not taken back
-- twice, but the record is written again for WAIT.
if s == 'P' then
  if charge == 'refund' then a = math.max(a - 1, 0) end
  if charge == 'reset' then a = 0 end
end
redis.call('SET', key, '1|F|' .. given .. '|' .. a .. '|' .. dups .. '|0|' .. owner .. '|' .. hash .. '|' .. life, 'PX', ttl)
return 'O ' .. given .. ' ' .. a
