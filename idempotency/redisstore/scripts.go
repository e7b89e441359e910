package redisstore

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
)

// The scripts are Lua files so that they can be read, and tried in redis-cli, as
// what they are. record.lua goes in front of those that read and write records.
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
	//go:embed poll.lua
	pollLua string
	//go:embed forget.lua
	forgetLua string
	//go:embed probe.lua
	probeLua string
)

// script is one of the scripts.
type script struct {
	name   string // as in errors
	source string
	hash   string // its name on the server
	// layout tells its arguments in order: w for a word, n for a number.
	layout string
	index  int
}

// scriptSet is a set of scripts, by their indexes.
type scriptSet uint16

func (s *script) bit() scriptSet { return 1 << s.index }

// scriptCount is how many scripts there are.
const scriptCount = 7

// scripts are all of them, by their indexes.
var scripts = [scriptCount]*script{
	newScript(0, "claim", recordLua+claimLua, "wnnwnwnnn"),
	newScript(1, "extend", recordLua+extendLua, "wnnnnnwwnnn"),
	newScript(2, "complete", recordLua+completeLua, "wnnwwn"),
	newScript(3, "release", recordLua+releaseLua, "wnnw"),
	newScript(4, "poll", pollLua, ""),
	newScript(5, "forget", forgetLua, ""),
	newScript(6, "probe", probeLua, ""),
}

var (
	claimScript    = scripts[0]
	extendScript   = scripts[1]
	completeScript = scripts[2]
	releaseScript  = scripts[3]
	pollScript     = scripts[4]
	forgetScript   = scripts[5]
	probeScript    = scripts[6]
)

func newScript(index int, name, source, layout string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{name: name, source: source, hash: hex.EncodeToString(sum[:]), layout: layout, index: index}
}
