package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// fields reads a script's reply, which is one string of fields with spaces between
// them; the first failure stays in err.
type fields struct {
	left string
	err  error
}

func (f *fields) next() string {
	if f.err != nil {
		return ""
	}
	if f.left == "" {
		f.err = errors.New("redisstore: a script's reply is too short")
		return ""
	}
	var s string
	s, f.left, _ = strings.Cut(f.left, " ")
	return s
}

// class reads the class, which must be one that the script can answer.
func (f *fields) class(allowed string) idempotency.Class {
	s := f.next()
	if f.err != nil {
		return 0
	}
	if len(s) != 1 || !strings.Contains(allowed, s) {
		f.err = fmt.Errorf("redisstore: a script answered class %q, not one of %q", s, allowed)
		return 0
	}
	return idempotency.Class(s[0])
}

func (f *fields) number() int64 {
	s := f.next()
	if f.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f.err = fmt.Errorf("redisstore: a number in a script's reply: %w", err)
	}
	return n
}

func (f *fields) millis() time.Duration { return time.Duration(f.number()) * time.Millisecond }
