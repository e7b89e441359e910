// Package routine finds the stack of one goroutine, to show where a handler hangs.
package routine

import (
	"bytes"
	"runtime"
	"strings"
)

// Name returns "goroutine 42" of the caller: the runtime gives no other
// way to find a goroutine's stack later.
func Name() string {
	var buf [64]byte
	name, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte(" ["))
	return string(name)
}

// Stack returns the stack of the goroutine of that name, "" where it has ended. It stops the world for a
// moment, which a rare event may.
func Stack(routine string) string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for part := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.HasPrefix(part, routine+" [") {
			return part
		}
	}
	return ""
}
