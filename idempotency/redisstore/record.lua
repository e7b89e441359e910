-- Prelude of every script: the clock, the packed record, the replies.
--
--   version|state|fence|attempts|duplicates|deadline|token|payload hash|life[|hard|deaths|alone]
--
-- A number never leaves a script, for a record or for a reply, but through
-- num(): redis-server itself would print a fence as 1.79e+15.

local key = KEYS[1]

local function num(n) return string.format('%.0f', n) end

-- The clock in microseconds. Only Redis's own clock decides about leases.
local function micros()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- The record under the key: nil where there is none, and an error reply as the
-- second value where there is one that this script cannot read. Such a record is
-- never taken for an absent one: a newer worker may have written it.
local function load()
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local s, fence, a, dups, deadline, token, phash, life, rest =
    string.match(raw, '^1|([PCF])|(%d+)|(%d+)|(%d+)|(%d+)|([%w_-]+)|([%w_-]*)|([%w_-]*)(.*)$')
  -- A claim without a deadline would be taken for an orphan.
  local whole = s and fence ~= '0'
  local hard, deaths, alone
  if s == 'P' then
    hard, deaths, alone = string.match(rest, '^|(%d+)|(%d+)|([01])$')
    whole = whole and deadline ~= '0' and hard
  elseif s then whole = whole and rest == '' end
  if not whole then
    return nil, redis.error_reply('BADRECORD not a record of version 1')
  end
  return {
    s = s, fence = fence, a = tonumber(a), dups = tonumber(dups),
    deadline = tonumber(deadline), token = token, phash = phash, life = life,
    hard = tonumber(hard) or 0, deaths = tonumber(deaths) or 0, alone = alone,
  }
end

-- Whether the record is of another payload: to the holder of a claim that is possible
-- once its record was lost, and what was completed is then not its work.
local function mismatch(v, phash) return phash ~= '' and v.phash ~= '' and phash ~= v.phash end

-- Packs a record. Fences stay text all the way: two fences are equal when their
-- digits are.
local function pack(v)
  local raw = '1|' .. v.s .. '|' .. v.fence .. '|' .. num(v.a) .. '|' .. num(v.dups) .. '|' ..
    num(v.deadline) .. '|' .. v.token .. '|' .. v.phash .. '|' .. v.life
  if v.s == 'P' then raw = raw .. '|' .. num(v.hard) .. '|' .. num(v.deaths) .. '|' .. v.alone end
  return raw
end

-- Writes a record with a time to live in milliseconds.
local function save(v, ttl) redis.call('SET', key, pack(v), 'PX', ttl) end

-- A reply is one string of fields: cheaper to make, to send and to read than an
-- array.
local function tell(...) return table.concat({...}, ' ') end

