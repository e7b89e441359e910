// Package routine finds the stacks of goroutines, to show where handlers hang.
package routine

import (
	"bytes"
	"runtime"
)

// Name returns "goroutine 42" of the caller: the runtime gives no other
// way to find a goroutine's stack later.
func Name() string {
	var buf [64]byte
	name, _, _ := bytes.Cut(buf[:runtime.Stack(buf[:], false)], []byte(" ["))
	return string(name)
}

// most bytes of a dump of all goroutines: some ten thousand of them.
const most = 64 << 20

// Stacks returns the stacks of the goroutines of these names, "" for one that has
// ended. It stops the world once, however many are asked for: that takes time in
// proportion to all goroutines of the process, which a rare event may.
func Stacks(names ...string) []string {
	var dump []byte
	for size := 1 << 20; ; size *= 4 {
		dump = make([]byte, size)
		n := runtime.Stack(dump, true)
		dump = dump[:n]
		if n < size || size >= most {
			break
		}
	}
	stacks := make([]string, len(names))
	place := make(map[string][]int, len(names))
	for i, name := range names {
		place[name] = append(place[name], i)
	}
	for part := range bytes.SplitSeq(dump, []byte("\n\n")) {
		name, _, ok := bytes.Cut(part, []byte(" ["))
		if !ok {
			continue
		}
		for _, i := range place[string(name)] {
			stacks[i] = string(part)
		}
	}
	return stacks
}
