-- FORGET -> '1' where there was a record, whatever it was, '0' where there was none
return string.format('%.0f', redis.call('DEL', KEYS[1]))
