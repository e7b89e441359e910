package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
)

// ErrClient is wrapped by Validate, and by every method, where the client given
// to New cannot serve as a store.
var ErrClient = errors.New("redisstore: unsuitable client")

// ErrNotReplicated is wrapped, together with idempotency.ErrUnavailable, by the
// error of a call that Redis applied but that not enough replicas acknowledged in
// time (Options.Durability). The middleware repeats such a completion before it
// lets the message be deleted. Look after the replicas.
var ErrNotReplicated = errors.New("not enough replicas have acknowledged it")

var (
	errNotReplicated = fmt.Errorf("%w: %w", idempotency.ErrUnavailable, ErrNotReplicated)
	errGivenUp       = fmt.Errorf("%w: the client did not come back in time and was given up; "+
		"does it heed contexts (ContextTimeoutEnabled)?", idempotency.ErrUnavailable)
	errHung = fmt.Errorf("%w: earlier round trips to the node still hang", idempotency.ErrUnavailable)
)

// isReply reports whether an error is what the server answered.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// brokenConn reports whether an error is the end of a connection, and not of
// somebody's patience.
func brokenConn(err error) bool {
	if isReply(err) || errors.Is(err, redis.ErrClosed) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op != "dial" && !op.Timeout()
}

// outages are the codes of answers by which a server says that it cannot serve
// now: full, a replica, starting, cut off, moving.
var outages = map[string]bool{
	"OOM": true, "READONLY": true, "LOADING": true, "CLUSTERDOWN": true, "MASTERDOWN": true, "TRYAGAIN": true,
	"NOREPLICAS": true, "MISCONF": true, "BUSY": true, "MOVED": true, "ASK": true, "UNBLOCKED": true,
}

// code returns what kind of error a server answered: its first word, and for
// errors that a script passed on, which servers before Redis 7 wrap, the word of
// the command's.
func code(err error) string {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return ""
	}
	text := reply.Error()
	word, rest, _ := strings.Cut(text, " ")
	if word != "ERR" {
		return word
	}
	if strings.HasPrefix(rest, "max number of clients") {
		return "BUSY" // it has no word of its own
	}
	if _, inner, ok := strings.Cut(rest, ": -"); ok {
		word, _, _ = strings.Cut(inner, " ")
	}
	return word
}

// classify marks an error by what is to be done about it: idempotency.ErrBadRecord
// where the record cannot be read, idempotency.ErrUnavailable where the server
// cannot serve now, and no mark where it refuses for good, as for a permission.
func classify(err error) error {
	switch c := code(err); {
	case c == "":
		return fmt.Errorf("%w: %w", idempotency.ErrUnavailable, err)
	case c == "BADRECORD", c == "WRONGTYPE":
		// The second is Redis's own word for a key that is not even a string.
		return fmt.Errorf("%w: %w", idempotency.ErrBadRecord, err)
	case outages[c]:
		return fmt.Errorf("%w: %w", idempotency.ErrUnavailable, err)
	}
	return err
}
