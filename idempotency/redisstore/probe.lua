-- PROBE -> '1'; writes what a claim writes in kind, so that a server that would
-- refuse that one refuses this
redis.call('SET', KEYS[1], '1', 'PX', 1000)
return '1'
