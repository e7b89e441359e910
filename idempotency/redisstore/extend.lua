-- EXTEND token fence lease_ms ttl_ms last_deadline attempts payload_hash life hard deaths alone
-- -> class fence deadline
local token, fence, lease, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local last, attempts, phash, life, hard =
  tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8], tonumber(ARGV[9])
local deaths, alone = tonumber(ARGV[10]), ARGV[11]

local v, bad = load()
if bad then return bad end
local now = math.floor(micros() / 1000)

if not v then
  -- Past the last deadline a newer claim may have come and been lost as well:
  -- only within the lease is the holder sure to be the last.
  if now > last then return tell('L', fence, '0') end
  v = {
    s = 'P', fence = fence, a = attempts, dups = 0, deadline = now + lease,
    token = token, phash = phash, life = life, hard = hard,
    deaths = deaths, alone = alone,
  }
  save(v, ttl)
  return tell('R', fence, num(v.deadline))
end
if v.s == 'C' and not mismatch(v, phash) then return tell('C', v.fence, '0') end
if v.s ~= 'P' or v.token ~= token or v.fence ~= fence then return tell('X', v.fence, '0') end

-- A lapsed lease is extended too: nobody claimed the key since. A request that was
-- given up long ago may arrive behind a newer one: it must not shorten the lease.
v.deadline = math.max(v.deadline, now + lease)
save(v, ttl)
return tell('O', v.fence, num(v.deadline))
