package twins

import "time"

// Answer is what the store knows of a key that runs elsewhere.
type Answer struct {
	// Done: the key is completed, for the payload that Hash is of.
	Done bool
	Hash string
	// Left is what remains of the holder's lease; 0 or less where nobody holds the
	// key.
	Left time.Duration
}

// Poll asks the store for keys. It returns one answer per key, in their order.
type Poll func(keys []string) ([]Answer, error)

const (
	// leastInterval is how soon a key is looked at again.
	leastInterval = 250 * time.Millisecond
	// failedInterval is how soon a poll that failed is tried again.
	failedInterval = time.Second
)

// interval is when to look at a key again whose holder's lease has left to go: at
// half of it, since it is mostly extended before it ends.
func interval(left time.Duration) time.Duration { return max(leastInterval, left/2) }

// arm has the next poll made at next at the latest. Call with mu held.
func (t *Table) arm(next time.Time) {
	if t.polling || !t.armed.IsZero() && !next.Before(t.armed) {
		return
	}
	t.armed = next
	if t.timer == nil {
		t.timer = time.AfterFunc(time.Until(next), t.look)
		return
	}
	t.timer.Reset(time.Until(next))
}

// look polls the keys that are due, and with them those that soon will be, in one
// call.
func (t *Table) look() {
	t.mu.Lock()
	if t.polling { // the timer fired once more while it was set anew
		t.mu.Unlock()
		return
	}
	t.polling = true
	soon := time.Now().Add(leastInterval)
	var due []*entry
	var keys []string
	for key, e := range t.polled {
		if !e.next.After(soon) && t.wanted(e) {
			due, keys = append(due, e), append(keys, key)
		}
	}
	t.mu.Unlock()

	var answers []Answer
	failed := false
	if len(keys) > 0 {
		var err error
		answers, err = t.poll(keys)
		failed = err != nil || len(answers) != len(keys)
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for i, e := range due {
		if failed {
			e.next = now.Add(jitter(failedInterval))
			continue
		}
		switch a := answers[i]; {
		case a.Done && (a.Hash == "" || e.hash == "" || a.Hash == e.hash):
			t.remove(e, Done)
		case a.Done || a.Left <= 0: // a claim decides
			t.remove(e, Again)
		default:
			e.next = now.Add(interval(a.Left))
		}
	}
	t.polling, t.armed = false, time.Time{}
	var next time.Time
	for _, e := range t.polled {
		if next.IsZero() || e.next.Before(next) {
			next = e.next
		}
	}
	if !next.IsZero() {
		t.arm(next)
	}
}

// wanted tells whether a message held here still waits for e, and drops e where
// none does. Call with mu held.
func (t *Table) wanted(e *entry) bool {
	kept := e.waits[:0]
	for _, w := range e.waits {
		if w.woken {
			continue
		}
		if w.lease.Err() != nil { // settled or lost: it will not come back
			delete(t.waits, w.lease)
			continue
		}
		kept = append(kept, w)
	}
	clear(e.waits[len(kept):])
	if e.waits = kept; len(kept) == 0 {
		t.remove(e, Again)
	}
	return len(kept) > 0
}
