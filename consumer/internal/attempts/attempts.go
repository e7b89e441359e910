// Package attempts keeps the receives of a FIFO queue that failed, until they are
// repeated. SQS may have answered: then it hides the messages, and with them all that
// come after in their groups, until their visibility ends, unless the receive is repeated
// under the same ReceiveRequestAttemptId.
package attempts

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	// lifetime is how long SQS knows an attempt id [ReceiveMessage].
	lifetime = 5 * time.Minute
	// most are kept: far more than there are receives under way.
	most = 1000
)

// Attempt is one receive. Repeated, it must ask for as many messages as before.
type Attempt struct {
	ID     string
	Asked  int
	began  time.Time
	failed time.Time
}

// New returns an attempt that is made for the first time.
func New(now time.Time, asked int) Attempt {
	return Attempt{ID: rand.Text(), Asked: asked, began: now}
}

// Lost has the attempts that failed, whoever made them. Its methods are safe for
// concurrent use.
type Lost struct {
	// Visibility is what the receives asked for.
	Visibility time.Duration

	mu   sync.Mutex // guards list
	list []Attempt  // the oldest failure first
}

// Put keeps an attempt that failed now.
func (l *Lost) Put(now time.Time, a Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.failed = now
	l.drop(now)
	if len(l.list) == most {
		l.list = l.list[1:]
	}
	l.list = append(l.list, a)
}

// Take hands out the oldest that asked for no more than room.
func (l *Lost) Take(now time.Time, room int) (a Attempt, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(now)
	for i, a := range l.list {
		if a.Asked <= room {
			l.list = append(l.list[:i], l.list[i+1:]...)
			return a, true
		}
	}
	return Attempt{}, false
}

// Len is how many wait to be repeated.
func (l *Lost) Len(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(now)
	return len(l.list)
}

// drop forgets what is of no use any more: SQS does not know the id, or shows the
// messages again, which it hid before the failure at the latest. Call with mu held.
func (l *Lost) drop(now time.Time) {
	kept := l.list[:0]
	for _, a := range l.list {
		if now.Sub(a.began) < lifetime && now.Sub(a.failed) < l.Visibility {
			kept = append(kept, a)
		}
	}
	l.list = kept
}
