package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/idempotency"
)

var errOvertaken = errors.New("a later run of this order was here")

// book is what the workers of one queue did. Safe for concurrent use.
type book struct {
	queue   string
	want    map[string]expected // by what a message is about
	sent    int                 // messages that the queue has to get
	drained chan struct{}       // closed when so many are settled

	mu     sync.Mutex // guards all below
	tries  map[string]int
	done   map[string]int   // effects
	sum    map[string]int64 // of the effects
	fences map[string]int64
	over   map[string]bool // messages settled for good, by their ids
}

// expected is what shall become of what a message is about.
type expected struct {
	amount int64
	cause  string // of dead-lettering; "" where it is to be done
	copies int    // messages
}

// newBooks makes a book for each queue, with what was published and belongs there.
func newBooks(t fanout.Topology, lines []line) []*book {
	var books []*book
	for i, q := range t.Queues {
		b := &book{
			queue: q.Name, want: map[string]expected{}, drained: make(chan struct{}),
			tries: map[string]int{}, done: map[string]int{}, sum: map[string]int64{}, fences: map[string]int64{}, over: map[string]bool{},
		}
		for _, l := range lines {
			e, gets := expect(i, l)
			if !gets {
				continue
			}
			b.sent++
			e.copies = b.want[refOf(l.body)].copies + 1
			b.want[refOf(l.body)] = e
		}
		books = append(books, b)
	}
	return books
}

// expect says whether the i-th queue gets a line, and what shall become of it there.
func expect(i int, l line) (e expected, gets bool) {
	switch {
	case i == 2: // audit
		return expected{}, true
	case i == 1: // shipping
		if l.order == nil || l.order.Quantity < shipsFrom {
			return expected{}, false
		}
		return expected{amount: int64(l.order.Quantity)}, true
	case l.order == nil:
		return expected{cause: "undecodable"}, true
	case l.order.Trouble == "refused":
		return expected{cause: "permanent"}, true
	case l.order.Trouble == "always-fails":
		return expected{cause: "exhausted"}, true
	}
	return expected{amount: l.order.Cents}, true
}

// try counts a run for what needs to know how often it was tried.
func (b *book) try(ref string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries[ref]++
	return b.tries[ref]
}

// did enters an effect, under the fence of its claim.
func (b *book) did(ctx context.Context, ref string, amount int) error {
	claim, _ := idempotency.FromContext(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if claim.Fence < b.fences[ref] {
		return errOvertaken
	}
	b.fences[ref] = claim.Fence
	b.done[ref]++
	b.sum[ref] += int64(amount)
	return nil
}

// settled is a hook of the worker.
func (b *book) settled(e holdfast.SettledEvent) {
	switch e.Outcome {
	case holdfast.Done, holdfast.Discarded, holdfast.DeadLettered:
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// A copy of a message may be settled again when all are: it is counted once.
	if b.over[e.Message.ID] {
		return
	}
	if b.over[e.Message.ID] = true; len(b.over) == b.sent {
		close(b.drained)
	}
}

// ledger holds a book against what was published.
type ledger struct {
	queue                      string
	messages, done, suppressed int
	dead                       map[string]int // by cause
	problems                   []string
}

func (l *ledger) balances() bool { return len(l.problems) == 0 }

// balance makes the ledger: everything the queue had to get was done once, with the
// right amount, or dead-lettered for the cause it should be; and nothing else happened.
func (b *book) balance(dead []deadLetter) *ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &ledger{queue: b.queue, messages: b.sent, dead: map[string]int{}}
	problem := func(format string, args ...any) { l.problems = append(l.problems, fmt.Sprintf(format, args...)) }
	buried := map[string][]string{}
	for _, d := range dead {
		ref := refOf(d.body)
		buried[ref] = append(buried[ref], d.cause)
		if _, known := b.want[ref]; !known {
			problem("%.40q is in the dead-letter queue and was not for this queue", ref)
		}
	}
	for ref := range b.done {
		if _, known := b.want[ref]; !known {
			problem("%.40q was done and was not for this queue", ref)
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(b.want)) {
		w, causes := b.want[ref], buried[ref]
		switch {
		case w.cause == "" && (b.done[ref] != 1 || b.sum[ref] != w.amount || len(causes) > 0):
			problem("%.40q was done %d times with %d in all, dead-lettered for %q; want once with %d", ref, b.done[ref], b.sum[ref], causes, w.amount)
		case w.cause == "":
			l.done++
			l.suppressed += w.copies - 1
		case b.done[ref] > 0 || len(causes) != w.copies || slices.ContainsFunc(causes, func(c string) bool { return c != w.cause }):
			problem("%.40q was done %d times, dead-lettered for %q; want %d times for %s", ref, b.done[ref], causes, w.copies, w.cause)
		default:
			l.dead[w.cause] += w.copies
		}
	}
	return l
}

// text is the ledger for people.
func (l *ledger) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d messages, %d done once, %d duplicates suppressed", l.queue, l.messages, l.done, l.suppressed)
	for _, cause := range slices.Sorted(maps.Keys(l.dead)) {
		fmt.Fprintf(&b, ", %d dead-lettered as %s", l.dead[cause], cause)
	}
	if l.balances() {
		return b.String() + ". It balances.\n"
	}
	b.WriteString(". It does NOT balance:\n")
	for i, p := range l.problems {
		if i == 20 {
			fmt.Fprintf(&b, "  and %d more\n", len(l.problems)-i)
			break
		}
		fmt.Fprintf(&b, "  %s\n", p)
	}
	return b.String()
}
