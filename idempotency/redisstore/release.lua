-- RELEASE token fence ttl_ms charge
-- charge: 'charge' leaves the attempt counted, 'refund' takes it back, 'reset'
-- starts the count anew.
-- -> class fence attempts
local token, fence, ttl, charge = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local v, bad = load()
if bad then return bad end

if not v then return tell('L', fence, '0') end
if v.s == 'C' or v.token ~= token or v.fence ~= fence then return tell('X', v.fence, '0') end

-- A free record under this token is a repetition: the attempt is not taken back
-- twice, but the record is written again for WAIT.
if v.s == 'P' then
  v.s, v.deadline = 'F', 0
  if charge == 'refund' then v.a = math.max(v.a - 1, 0) end
  if charge == 'reset' then v.a = 0 end
end
save(v, ttl)
return tell('O', v.fence, num(v.a))
