-- EXTEND token fence lease_ms ttl_ms last_deadline attempts payload_hash life hard deaths alone
-- -> class fence deadline
local token, fence, lease, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local phash, life, hard, deaths, alone = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]

local s, given, a, dups, deadline, owner, hash, formerly, limit, died, lone = load()
if s == 'bad' then return unreadable() end
local now = math.floor(micros() / 1000)
local ends = now + lease

if not s then
  -- Past the last deadline a newer claim may have come and been lost as well:
  -- only within the lease is the holder sure to be the last.
  if now > tonumber(ARGV[5]) then return 'L ' .. fence .. ' 0' end
  redis.call('SET', key, '1|P|' .. fence .. '|' .. ARGV[6] .. '|0|' .. ends .. '|' .. token .. '|' .. phash .. '|' ..
    life .. '|' .. hard .. '|' .. deaths .. '|' .. alone, 'PX', ttl)
  return 'R ' .. fence .. ' ' .. ends
end
-- To the holder of a claim a completion for another payload is possible once its record
-- was lost: what was completed is then not its work.
local other = phash ~= '' and hash ~= '' and phash ~= hash
if s == 'C' and not other then return 'C ' .. given .. ' 0' end
if s ~= 'P' or owner ~= token or given ~= fence then return 'X ' .. given .. ' 0' end

-- A lapsed lease is extended too: nobody claimed the key since. A request that was
-- given up long ago may arrive behind a newer one: it must not shorten the lease.
ends = math.max(tonumber(deadline), ends)
redis.call('SET', key, '1|P|' .. given .. '|' .. a .. '|' .. dups .. '|' .. ends .. '|' .. owner .. '|' .. hash .. '|' ..
  formerly .. '|' .. limit .. '|' .. died .. '|' .. lone, 'PX', ttl)
return 'O ' .. given .. ' ' .. ends
