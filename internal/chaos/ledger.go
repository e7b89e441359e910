//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
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
	asked    = 'A' // a claim was asked for, at the time of the line: name is the key, number the fence it got
	begun    = 'B' // a handler began under that claim: the same
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
	asks *sync.Map // a claim to when it was asked for
}

func openLedger(path, life string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &ledger{f: f, life: life}, err
}

// write appends one line by one system call.
func (l *ledger) write(kind byte, name string, number int64) error {
	return l.writeAt(kind, name, number, time.Now())
}

func (l *ledger) writeAt(kind byte, name string, number int64, at time.Time) error {
	_, err := fmt.Fprintf(l.f, "%c %s %d %s %d\n", kind, name, number, l.life, at.UnixMicro())
	return err
}

// readLedger calls f for each entry in the order of writing.
func readLedger(r io.Reader, f func(entry)) error {
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		e, err := parseEntry(s.Text())
		if err != nil {
			return fmt.Errorf("ledger line %d is %q: %w", n, s.Text(), err)
		}
		f(e)
	}
	return s.Err()
}

// parseEntry reads one line. Fscan would do, but reads a rune at a time: a ledger has a
// million lines.
func parseEntry(line string) (e entry, err error) {
	part := strings.Fields(line)
	if len(part) != 5 || len(part[0]) != 1 {
		return e, errors.New("not a kind and four fields")
	}
	e.kind, e.name, e.life = part[0][0], part[1], part[3]
	if e.number, err = strconv.ParseInt(part[2], 10, 64); err != nil {
		return e, err
	}
	micros, err := strconv.ParseInt(part[4], 10, 64)
	e.at = time.UnixMicro(micros)
	return e, err
}
