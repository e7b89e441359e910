package redisstore

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// The scripts are Lua files so that they can be read, and tried in redis-cli, as
// what they are. record.lua goes in front of each.
var (
	//go:embed record.lua
	recordLua string
	//go:embed claim.lua
	claimLua string
	//go:embed extend.lua
	extendLua string
	//go:embed complete.lua
	completeLua string
	//go:embed release.lua
	releaseLua string
	// poll.lua stands alone: it hands the record out as it is.
	//go:embed poll.lua
	pollLua string
)

var (
	claimScript    = redis.NewScript(recordLua + claimLua)
	extendScript   = redis.NewScript(recordLua + extendLua)
	completeScript = redis.NewScript(recordLua + completeLua)
	releaseScript  = redis.NewScript(recordLua + releaseLua)
)
