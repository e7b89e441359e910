-- CLAIM token lease_ms ttl_ms payload_hash hard_ms life max_attempts alone sent_ms
-- -> class fence left_ms hard_left_ms attempts duplicates deadline hard deaths
local token, lease, ttl, phash, hard, life = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local s, fence, a, dups, deadline, owner, hash, formerly, limit, deaths, lone = load()
if s == 'bad' then return unreadable() end

-- Before any look at the state: a completed key must not answer for a payload that was
-- never worked on.
if s and phash ~= '' and hash ~= '' and phash ~= hash then return 'M ' .. fence end
if s == 'C' then return 'C ' .. fence end

local us = micros()
local now = math.floor(us / 1000)

local class, attempts, died = 'N', 0, 0
if s then
  if s == 'P' then
    -- What is told of whoever holds the key.
    local left = math.max(deadline - now, 0)
    local function holder(class, dups)
      return class .. ' ' .. fence .. ' ' .. left .. ' ' .. math.max(limit - now, 0) .. ' ' .. a .. ' ' .. dups ..
        ' ' .. deadline .. ' ' .. limit .. ' ' .. deaths
    end
    if owner == token then
      -- The reply to this very claim was lost. Written again, so that a WAIT
      -- behind the repetition covers the record.
      redis.call('SET', key, redis.call('GET', key), 'PX', ttl)
      return holder('O', dups)
    end
    if left > 0 then
      dups = dups + 1
      redis.call('SET', key, '1|P|' .. fence .. '|' .. a .. '|' .. dups .. '|' .. deadline .. '|' .. owner .. '|' ..
        hash .. '|' .. formerly .. '|' .. limit .. '|' .. deaths .. '|' .. lone, 'KEEPTTL')
      return holder('B', dups)
    end
  end
  class, attempts = 'T', tonumber(a)
  if s == 'P' then
    -- Its process died, or was cut off. Only who ran alone surely died of itself.
    died = deaths + 1
    if lone ~= '1' then attempts = math.max(attempts - 1, 0) end
  end
  -- Another message id on a key that has used up its attempts, sent after the last
  -- claim (a fence is its time), clocks a minute apart at most: the message was
  -- dead-lettered and moved back. It starts anew. A copy that was there before does not.
  local most, sent = tonumber(ARGV[7]), tonumber(ARGV[9])
  if most > 0 and attempts >= most and formerly ~= life and
    (sent == 0 or sent + 60000 > math.floor(fence / 1000)) then attempts, died = 0, 0 end
  if died >= 2 and ARGV[8] ~= '1' then
    return 'A ' .. fence .. ' 0 0 ' .. attempts .. ' 0 0 0 ' .. died
  end
  us = math.max(fence + 1, us)
end

local given, ends, last = num(us), now + lease .. '', now + hard .. ''
attempts = attempts + 1
redis.call('SET', key, '1|P|' .. given .. '|' .. attempts .. '|0|' .. ends .. '|' .. token .. '|' .. phash .. '|' ..
  life .. '|' .. last .. '|' .. died .. '|' .. ARGV[8], 'PX', ttl)
return class .. ' ' .. given .. ' ' .. lease .. ' ' .. hard .. ' ' .. attempts .. ' 0 ' .. ends .. ' ' .. last .. ' ' .. died
