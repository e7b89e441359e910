-- COMPLETE token fence ttl_ms payload_hash life attempts
-- -> class fence
local token, fence, ttl, phash, life, attempts =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])

local v, bad = load()
if bad then return bad end

if not v then
  -- The record was lost, but the effect has happened: it is recorded.
  save({s = 'C', fence = fence, a = attempts, dups = 0, deadline = 0,
    token = token, phash = phash, life = life}, ttl)
  return tell('R', fence)
end
if v.s == 'C' and not mismatch(v, phash) then
  if v.token ~= token then return tell('C', v.fence) end
  -- The reply to this very completion was lost; written again for WAIT.
  save(v, ttl)
  return tell('O', v.fence)
end
-- A holder that was overtaken changes nothing.
if v.s ~= 'P' or v.token ~= token or v.fence ~= fence then return tell('X', v.fence) end

-- Attempts, payload hash and life stay as they were claimed.
v.s, v.dups, v.deadline = 'C', 0, 0
save(v, ttl)
return tell('O', v.fence)
