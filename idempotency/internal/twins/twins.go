// Package twins knows which keys this process works on and which of its messages
// wait, and for what: for a twin that runs here, for one that runs elsewhere, or
// for the store. What waits is parked, so that it costs no receives.
package twins

import (
	"math/rand/v2"
	"sync"
	"time"
)

// heed is how long a handler whose claim was lost may still run before messages
// that wait for it are let go: it was cancelled, and should return.
const heed = time.Minute

// Lease is what tells whether a message that waits is still held here.
// holdfast.Lease has it. Its values must be comparable. Err is called under the
// table's lock.
type Lease interface{ Err() error }

// Verdict says what became of what a message waited for.
type Verdict uint8

const (
	// None is for a message that did not wait.
	None Verdict = iota
	// Again lets it claim now.
	Again
	// Done says that a twin has completed the key.
	Done
	// Spent says that the store was away for all the time there was.
	Spent
	// Turn says that its turn has come after the store came back.
	Turn
)

// Past is what a message brings back from waiting.
type Past struct {
	Verdict Verdict
	// Since is when the outage began for it that it waits in; zero for none.
	Since time.Time
	// Token is that of the claim whose reply it may have missed.
	Token string
}

// Wait is a message that waits.
type Wait struct {
	ready chan struct{}
	lease Lease
	past  Past // the verdict is set before ready is closed
	woken bool
	timer *time.Timer
}

// Ready is closed when the wait is over.
func (w *Wait) Ready() <-chan struct{} { return w.ready }

// Table is what one process runs and lets wait. It has no goroutine of its own but
// while it polls. Safe for concurrent use; make one with New.
type Table struct {
	poll Poll

	mu      sync.Mutex        // guards all below, entries and waits included
	keys    map[string]*entry // that run here, or are waited for
	waits   map[Lease]*Wait   // from the wait's begin until Back
	sweepAt int               // the number of waits at which forgotten ones are looked for
	outage  []*Wait           // for the store

	polled  map[string]*entry // of keys, those that run elsewhere
	polling bool              // a poll is under way
	timer   *time.Timer       // for the next poll
	armed   time.Time         // when that is; zero where there is none
}

// entry is one key.
type entry struct {
	key, hash string
	waits     []*Wait
	next      time.Time // when polled: when to look at it again
	seat      Seat      // of whoever works on it
}

// New makes an empty table. poll asks the store for keys that run elsewhere.
func New(poll Poll) *Table {
	return &Table{
		poll: poll,
		keys: make(map[string]*entry), polled: make(map[string]*entry),
		waits: make(map[Lease]*Wait),
	}
}

// Back tells what became of what the message of lease waited for. The next call has
// forgotten it.
func (t *Table) Back(lease Lease) Past {
	if lease == nil {
		return Past{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.waits[lease]
	if w == nil {
		return Past{}
	}
	delete(t.waits, lease)
	t.wake(w, Again) // if not yet: the runtime has reasons of its own, such as the retention
	return w.past
}

// Seat is the right to work on a key in this process. A nil one gives no right and
// keeps nobody out.
type Seat struct {
	t *Table
	e *entry
}

// Enter gives the key to the message of lease, or has it wait for the twin that has
// the key. hash is that of its payload: messages of one key with different ones are
// no twins. Both results are nil for those, and where a twin has the key and lease
// is nil: the store then decides.
func (t *Table) Enter(key, hash string, lease Lease) (*Seat, *Wait) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.keys[key]
	if e == nil {
		e = &entry{key: key, hash: hash}
		e.seat = Seat{t: t, e: e}
		t.keys[key] = e
		return &e.seat, nil
	}
	if lease == nil || e.hash != "" && hash != "" && e.hash != hash {
		return nil, nil
	}
	w := t.wait(lease)
	e.waits = append(e.waits, w)
	return nil, w
}

// Leave ends the work. Those that wait learn whether the key is completed; where it
// is not they are let go after rest.
func (s *Seat) Leave(done bool, rest time.Duration) {
	if s == nil {
		return
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	switch {
	case done:
		s.t.free(s.e, Done)
	case rest <= 0 || len(s.e.waits) == 0:
		s.t.free(s.e, Again)
	default:
		s.freeAfter(rest)
	}
}

// Lost says that the claim on the key is lost though the work may go on. Those that
// wait are let go when it ends, or after a minute.
func (s *Seat) Lost() {
	if s != nil {
		s.freeAfter(heed)
	}
}

func (s *Seat) freeAfter(d time.Duration) {
	time.AfterFunc(d, func() {
		s.t.mu.Lock()
		defer s.t.mu.Unlock()
		s.t.free(s.e, Again)
	})
}

// Busy gives the seat up because the key runs elsewhere, under a claim that is good
// for left: the message of lease waits for that, and with it all that waited here.
func (s *Seat) Busy(lease Lease, left time.Duration) *Wait {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.wait(lease)
	if t.keys[s.e.key] != s.e { // let go meanwhile
		t.wake(w, Again)
		return w
	}
	s.e.waits = append(s.e.waits, w)
	s.e.next = time.Now().Add(interval(left))
	t.polled[s.e.key] = s.e
	t.arm(s.e.next)
	s.e = &entry{} // nothing to leave any more
	return w
}

// Pause has the message of lease wait for d. past is what Back then answers.
func (t *Table) Pause(lease Lease, d time.Duration, past Past) *Wait {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.wait(lease)
	w.past = past
	t.wakeAfter(w, d, past.Verdict)
	return w
}

// Outage has the message of lease wait until Reopened, at most until budget is
// over since past.Since. Back then answers past, the verdict aside.
func (t *Table) Outage(lease Lease, budget time.Duration, past Past) *Wait {
	past.Verdict = Spent
	w := t.Pause(lease, time.Until(past.Since.Add(budget)), past)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outage = append(t.outage, w)
	return w
}

// Reopened lets those go that wait for the store, spread over ramp.
func (t *Table) Reopened(ramp time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := time.Duration(len(t.outage))
	for i, w := range t.outage {
		if w.timer.Stop() {
			t.wakeAfter(w, ramp*time.Duration(i)/n, Again)
		}
	}
	t.outage = nil
}

// wait makes a wait. Call with mu held.
func (t *Table) wait(lease Lease) *Wait {
	w := &Wait{ready: make(chan struct{}), lease: lease}
	t.waits[lease] = w
	if len(t.waits) >= max(t.sweepAt, 256) {
		// The messages of some are settled or lost, and will not come back.
		for l := range t.waits {
			if l.Err() != nil {
				delete(t.waits, l)
			}
		}
		t.sweepAt = 2 * len(t.waits)
	}
	return w
}

// wake ends a wait. Call with mu held.
func (t *Table) wake(w *Wait, v Verdict) {
	if w.woken {
		return
	}
	w.woken, w.past.Verdict = true, v
	if w.timer != nil {
		w.timer.Stop()
	}
	close(w.ready)
}

// wakeAfter ends a wait after d. Call with mu held.
func (t *Table) wakeAfter(w *Wait, d time.Duration, v Verdict) {
	w.timer = time.AfterFunc(max(d, 0), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.wake(w, v)
	})
}

// free lets all go that wait for an entry, if it is one still. Call with mu held.
func (t *Table) free(e *entry, v Verdict) {
	if t.keys[e.key] == e && t.polled[e.key] != e {
		t.remove(e, v)
	}
}

// remove takes an entry out of the table. Call with mu held.
func (t *Table) remove(e *entry, v Verdict) {
	delete(t.keys, e.key)
	delete(t.polled, e.key)
	for _, w := range e.waits {
		t.wake(w, v)
	}
}

// jitter returns between half of d and d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
