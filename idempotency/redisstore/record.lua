-- Prelude of every script: the clock, the packed record.
--
--   version|state|fence|attempts|duplicates|deadline|token|payload hash|life[|hard|deaths|alone]
--
-- What a script has as text stays text: most of what a record or a reply is made of
-- came in as such, and Redis has one thread for all of it. Lua prints a number with 14
-- digits, which is enough for counts and for milliseconds since 1970. A fence counts
-- microseconds: as a number it never leaves a script but through num(), since
-- redis-server itself would print 1.79e+15. Two fences are equal when their digits are.

local key = KEYS[1]

local function num(n) return string.format('%.0f', n) end

-- The clock in microseconds. Only Redis's own clock decides about leases.
local function micros()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- The fields of the record under the key in their order: nothing where there is none,
-- and 'bad' for the state where there is one that this script cannot read. Such a
-- record is never taken for an absent one: a newer worker may have written it.
local function load()
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local s, fence, a, dups, deadline, token, phash, life, rest =
    string.match(raw, '^1|([PCF])|(%d+)|(%d+)|(%d+)|(%d+)|([%w_-]+)|([%w_-]*)|([%w_-]*)(.*)$')
  if not s or fence == '0' then return 'bad' end
  if s ~= 'P' then
    if rest ~= '' then return 'bad' end
    return s, fence, a, dups, deadline, token, phash, life
  end
  local hard, deaths, alone = string.match(rest, '^|(%d+)|(%d+)|([01])$')
  -- A claim without a deadline would be taken for an orphan.
  if not hard or deadline == '0' then return 'bad' end
  return s, fence, a, dups, deadline, token, phash, life, hard, deaths, alone
end

local function unreadable() return redis.error_reply('BADRECORD not a record of version 1') end

