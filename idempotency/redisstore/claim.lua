-- CLAIM token lease_ms ttl_ms payload_hash hard_ms life max_attempts alone sent_ms
-- -> class fence left_ms hard_left_ms attempts duplicates deadline hard deaths
local token, lease, ttl, phash = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local hard, life, most, alone = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), ARGV[8]
local sent = tonumber(ARGV[9])

local v, bad = load()
if bad then return bad end

local us = micros()
local now = math.floor(us / 1000)

-- What is told of whoever holds the key.
local function holder(class, r)
  return tell(class, r.fence, num(math.max(r.deadline - now, 0)), num(math.max(r.hard - now, 0)),
    num(r.a), num(r.dups), num(r.deadline), num(r.hard), num(r.deaths))
end

local class, fence, attempts, deaths = 'N', 0, 0, 0
if v then
  -- Before any look at the state: a completed key must not answer for a payload
  -- that was never worked on.
  if mismatch(v, phash) then return tell('M', v.fence) end
  if v.s == 'C' then return tell('C', v.fence) end
  if v.s == 'P' then
    if v.token == token then
      -- The reply to this very claim was lost. Written again, so that a WAIT
      -- behind the repetition covers the record.
      save(v, ttl)
      return holder('O', v)
    end
    if v.deadline > now then
      v.dups = v.dups + 1
      redis.call('SET', key, pack(v), 'KEEPTTL')
      return holder('B', v)
    end
  end
  class, fence, attempts = 'T', tonumber(v.fence), v.a
  if v.s == 'P' then
    -- Its process died, or was cut off. Only who ran alone surely died of itself.
    deaths = v.deaths + 1
    if v.alone ~= '1' then attempts = math.max(attempts - 1, 0) end
  end
  -- Another message id on a key that has used up its attempts, sent after the last
  -- claim (a fence is its time), clocks a minute apart at most: the message was
  -- dead-lettered and moved back. It starts anew. A copy that was there before does not.
  if most > 0 and attempts >= most and v.life ~= life and
    (sent == 0 or sent + 60000 > math.floor(fence / 1000)) then attempts, deaths = 0, 0 end
  if deaths >= 2 and alone ~= '1' then
    return tell('A', v.fence, '0', '0', num(attempts), '0', '0', '0', num(deaths))
  end
end

local fresh = {
  s = 'P', fence = num(math.max(fence + 1, us)), a = attempts + 1, dups = 0,
  deadline = now + lease, token = token, phash = phash, life = life, hard = now + hard,
  deaths = deaths, alone = alone,
}
save(fresh, ttl)
return holder(class, fresh)
