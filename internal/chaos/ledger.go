//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// The ledger is one file that all workers append to, a line a write. The kernel
// keeps the lines whole and in one order, and what was written outlives the writer:
// as in a database, there is one history of what all processes did, and the fence is
// applied to it when it is read.

// Kinds of entries.
const (
	received = 'R' // a delivery arrived: name is the message id, number its receive count
	begun    = 'B' // a handler began: name is the key, number the fence
	effect   = 'E' // it wrote its effect: the same
	recorded = 'C' // the store confirmed that the key is done: the same
)

// entry is one line of the ledger.
type entry struct {
	kind   byte
	name   string
	number int64
	life   string // of the worker that wrote it: one life of one process
	at     time.Time
}

// ledger is what a worker writes to.
type ledger struct {
	f    *os.File
	life string
	keys *sync.Map // what the store calls a key to what the ledger does
}

func openLedger(path, life string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &ledger{f: f, life: life}, err
}

// write appends one line by one system call.
func (l *ledger) write(kind byte, name string, number int64) error {
	_, err := fmt.Fprintf(l.f, "%c %s %d %s %d\n", kind, name, number, l.life, time.Now().UnixMicro())
	return err
}

// readLedger calls f for each entry in the order of writing.
func readLedger(r io.Reader, f func(entry)) error {
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		var e entry
		var micros int64
		var kind string
		// Fscan would do, but reads a rune at a time: this file has a million lines.
		part := strings.Fields(s.Text())
		if len(part) != 5 || len(part[0]) != 1 {
			return fmt.Errorf("ledger line %d is %q", n, s.Text())
		}
		kind, e.name, e.life = part[0], part[1], part[3]
		if _, err := fmt.Sscan(part[2]+" "+part[4], &e.number, &micros); err != nil {
			return fmt.Errorf("ledger line %d is %q: %w", n, s.Text(), err)
		}
		e.kind, e.at = kind[0], time.UnixMicro(micros)
		f(e)
	}
	return s.Err()
}
