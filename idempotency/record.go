package idempotency

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrBadRecord is wrapped by the errors of a Store that found a record it cannot
// read: one of a newer version while old and new workers run side by side, or one
// that something else wrote under the key. The message stays; finish the deploy,
// or give the consumer a Prefix of its own.
var ErrBadRecord = errors.New("idempotency: record cannot be read")

// State is the state of a record.
type State byte

// The states of a record.
const (
	StateInProgress State = 'P' // claimed, the lease possibly lapsed
	StateCompleted  State = 'C' // done
	StateFree       State = 'F' // released after a failure or a dead-lettering
)

// recordVersion is the first field of every packed record.
const recordVersion = "1"

// Record is what a store keeps of a key. String packs it, ParseRecord unpacks it;
// Redis's scripts read and write the same form:
//
//	version|state|fence|attempts|duplicates|deadline|token|payload hash|life[|hard|deaths|alone]
//
// The last three fields are there in progress only; alone is 0 or 1.
type Record struct {
	State      State
	Fence      int64
	Attempts   int
	Duplicates int
	// Deadline is the end of the lease; 0 unless in progress.
	Deadline    Instant
	Token       string
	PayloadHash string
	Life        string
	// Hard is the end of the longest hold possible; 0 unless in progress.
	Hard Instant
	// Deaths counts the claims in a row, before this one, that lapsed without a
	// release or a completion; 0 unless in progress.
	Deaths int
	// Alone tells that this claim runs alone in its process; false unless in
	// progress.
	Alone bool
}

// String packs the record.
func (r Record) String() string {
	b := make([]byte, 0, 96)
	b = append(b, recordVersion+"|"...)
	b = append(b, byte(r.State), '|')
	b = strconv.AppendInt(b, r.Fence, 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, int64(r.Attempts), 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, int64(r.Duplicates), 10)
	b = append(b, '|')
	b = strconv.AppendInt(b, int64(r.Deadline), 10)
	for _, s := range []string{r.Token, r.PayloadHash, r.Life} {
		b = append(b, '|')
		b = append(b, s...)
	}
	if r.State == StateInProgress {
		b = append(b, '|')
		b = strconv.AppendInt(b, int64(r.Hard), 10)
		b = append(b, '|')
		b = strconv.AppendInt(b, int64(r.Deaths), 10)
		b = append(b, '|', '0')
		if r.Alone {
			b[len(b)-1] = '1'
		}
	}
	return string(b)
}

// ParseRecord unpacks a record. Its error wraps ErrBadRecord and does not repeat
// the record, which may be anything.
func ParseRecord(s string) (Record, error) {
	var r Record
	version, rest, ok := strings.Cut(s, "|")
	if !ok || version != recordVersion {
		return r, fmt.Errorf("%w: its version is not %s", ErrBadRecord, recordVersion)
	}
	f := strings.Split(rest, "|")
	if len(f) < 8 || len(f[0]) != 1 {
		return r, fmt.Errorf("%w: it has %d fields", ErrBadRecord, len(f)+1)
	}
	r.State = State(f[0][0])
	want := 8
	switch r.State {
	case StateInProgress:
		want = 11
	case StateCompleted, StateFree:
	default:
		return Record{}, fmt.Errorf("%w: its state is %q", ErrBadRecord, f[0])
	}
	if len(f) != want {
		return Record{}, fmt.Errorf("%w: it has %d fields in state %s", ErrBadRecord, len(f)+1, f[0])
	}
	var deadline, hard int64
	var err error
	number := func(s string, max int64) (n int64) {
		// Only the canonical form: scripts compare fences as text.
		n, e := strconv.ParseInt(s, 10, 64)
		if e != nil || n < 0 || n > max || strconv.FormatInt(n, 10) != s {
			err = fmt.Errorf("%w: a number in it is malformed", ErrBadRecord)
		}
		return n
	}
	const exact = 1<<53 - 1
	r.Fence = number(f[1], exact)
	r.Attempts = int(number(f[2], 1<<31-1))
	r.Duplicates = int(number(f[3], 1<<31-1))
	deadline = number(f[4], exact)
	r.Token, r.PayloadHash, r.Life = f[5], f[6], f[7]
	if r.State == StateInProgress {
		hard = number(f[8], exact)
		r.Hard = Instant(hard)
		r.Deaths = int(number(f[9], 1<<31-1))
		r.Alone = number(f[10], 1) == 1
	}
	r.Deadline = Instant(deadline)
	for _, s := range f[5:8] {
		if !word(s) {
			err = fmt.Errorf("%w: a word in it is malformed", ErrBadRecord)
		}
	}
	if err == nil && (r.Token == "" || r.Fence == 0) {
		err = fmt.Errorf("%w: it has no token or no fence", ErrBadRecord)
	}
	if err == nil && r.State == StateInProgress && r.Deadline == 0 {
		// A claim without a deadline would be taken for an orphan.
		err = fmt.Errorf("%w: it is in progress without a deadline", ErrBadRecord)
	}
	if err != nil {
		return Record{}, err
	}
	return r, nil
}

// NewSnapshot makes the answer of Poll to a packed record: micros is the store's
// clock in microseconds since 1970, ttl what remains of the record's time to live.
// Implementations of Store use it.
func NewSnapshot(packed string, micros int64, ttl time.Duration) Snapshot {
	r, err := ParseRecord(packed)
	if err != nil {
		return Snapshot{TTL: ttl, Err: err}
	}
	now := clock{micros: micros}
	return Snapshot{Record: r, Left: now.left(r.Deadline), HardLeft: now.left(r.Hard), TTL: ttl}
}
