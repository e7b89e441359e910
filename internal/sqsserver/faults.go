package sqsserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Rule is a fault and when it strikes. The zero values of the conditions mean
// "always". Only one of the effects is set.
type Rule struct {
	// Action is the operation's name, "" for any.
	Action string
	// Queue is the queue's name, "" for any.
	Queue string
	// After lets the first so many matches pass.
	After int
	// Every strikes at each so-manieth match after those: 1 or 0 all of them.
	Every int
	// Times ends the rule after so many strikes. 0: never.
	Times int
	// Spare is the chance, 0 to 1, that a match passes nevertheless; the dice are
	// the rule's own, thrown from Seed.
	Spare float64
	Seed  uint64

	// Fail refuses the call.
	Fail *Error
	// Delay holds the call back before it is applied, or, with OnReply, its
	// reply after.
	Delay   time.Duration
	OnReply bool
	// Cut breaks the connection before the call is applied.
	Cut bool
	// Drop applies the call and breaks the connection instead of replying.
	Drop bool
	// Hang never answers; the call ends with its context, unapplied.
	Hang bool
	// FailEntry refuses single entries of a batch. It is matched once per entry.
	FailEntry *Error
	// Duplicate has a message on a standard queue delivered once more while it
	// is in flight. It is matched once per message received.
	Duplicate bool
	// Ghost has a message on a standard queue come back once after its delete.
	// It is matched once per message received.
	Ghost bool
}

// perCall tells rules that are matched with a call from those matched with the
// messages inside.
func (r *Rule) perCall() bool { return r.FailEntry == nil && !r.Duplicate && !r.Ghost }

// Injection is a rule at work.
type Injection struct {
	table *faultTable
	rule  Rule

	mu      sync.Mutex
	matches int
	hits    int
	dice    *rand.Rand
}

// Stop ends the rule.
func (i *Injection) Stop() { i.table.remove(i) }

// Hits is how often the rule has struck.
func (i *Injection) Hits() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.hits
}

// fire matches the rule once more and says whether it strikes.
func (i *Injection) fire(action, queue string) bool {
	r := &i.rule
	if r.Action != "" && r.Action != action || r.Queue != "" && r.Queue != queue {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Times > 0 && i.hits >= r.Times {
		return false
	}
	i.matches++
	n := i.matches - r.After
	if n <= 0 || r.Every > 1 && n%r.Every != 0 {
		return false
	}
	if r.Spare > 0 && i.dice.Float64() < r.Spare {
		return false
	}
	i.hits++
	return true
}

// faultTable is the rules at work. Reading takes no lock, so a server without
// faults pays nothing for them.
type faultTable struct {
	mu    sync.Mutex // serialises writers
	rules atomic.Pointer[[]*Injection]
}

// Inject puts a rule to work until Stop. Rules are asked in the order they were
// injected; the first that ends the call hides those after it. A rule that could
// never strike as meant is refused.
func (s *Server) Inject(r Rule) (*Injection, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	i := &Injection{table: &s.faults, rule: r, dice: rand.New(rand.NewPCG(r.Seed, 0))}
	s.faults.change(func(rules []*Injection) []*Injection { return append(rules, i) })
	return i, nil
}

func (r *Rule) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if operations[r.Action] == nil && r.Action != "" {
		bad("Action %q is no operation of this server", r.Action)
	}
	if r.Queue != "" && !validQueueName(r.Queue) {
		bad("Queue %q is no name of a queue", r.Queue)
	}
	for _, n := range []struct {
		field string
		value int
	}{{"After", r.After}, {"Every", r.Every}, {"Times", r.Times}} {
		if n.value < 0 {
			bad("%s %d is below 0", n.field, n.value)
		}
	}
	if !(r.Spare >= 0 && r.Spare <= 1) { // NaN too
		bad("Spare %v is not in 0..1", r.Spare)
	}
	if r.Delay < 0 {
		bad("Delay %v is below 0", r.Delay)
	}
	if r.OnReply && r.Delay == 0 {
		bad("OnReply is for rules with a Delay")
	}
	if r.FailEntry != nil && !strings.HasSuffix(r.Action, "Batch") {
		bad("Action %q has no entries that could fail", r.Action)
	}
	if (r.Duplicate || r.Ghost) && strings.HasSuffix(r.Queue, ".fifo") {
		bad("Queue %q is FIFO: it delivers nothing twice", r.Queue)
	}
	return errors.Join(errs...)
}

func (t *faultTable) remove(i *Injection) {
	t.change(func(rules []*Injection) []*Injection {
		return slices.DeleteFunc(rules, func(other *Injection) bool { return other == i })
	})
}

func (t *faultTable) change(edit func([]*Injection) []*Injection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rules := edit(slices.Clone(t.all()))
	t.rules.Store(&rules)
}

func (t *faultTable) all() []*Injection {
	if p := t.rules.Load(); p != nil {
		return *p
	}
	return nil
}

// strike is what befalls one call.
type strike struct {
	delay      time.Duration
	replyDelay time.Duration
	fail       error
	hang       bool
	drop       bool
}

func (t *faultTable) strike(action, queue string) strike {
	var s strike
	for _, i := range t.all() {
		if !i.rule.perCall() || !i.fire(action, queue) {
			continue
		}
		switch r := &i.rule; {
		case r.Fail != nil:
			s.fail = r.Fail
		case r.Cut:
			s.fail = errReset
		case r.Hang:
			s.hang = true
		case r.Drop:
			s.drop = true
		case r.OnReply:
			s.replyDelay += r.Delay
		default:
			s.delay += r.Delay
		}
		if s.fail != nil || s.hang || s.drop {
			break
		}
	}
	return s
}

// errReset is how a client sees a broken connection.
var errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// before waits and says why the call is not to be applied, if so.
func (s *strike) before(ctx context.Context) error {
	if s.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := sleep(ctx, s.delay); err != nil {
		return err
	}
	return s.fail
}

// after says why the reply of an applied call is lost, if so.
func (s *strike) after(ctx context.Context) error {
	if err := sleep(ctx, s.replyDelay); err != nil {
		return err
	}
	if s.drop {
		return errReset
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// entry is the fault of one entry of a batch, or nil.
func (t *faultTable) entry(action, queue string) *Error {
	for _, i := range t.all() {
		if i.rule.FailEntry != nil && i.fire(action, queue) {
			return i.rule.FailEntry
		}
	}
	return nil
}

// delivery says whether a received message is to be delivered once more, and
// whether it is to come back after its delete.
func (t *faultTable) delivery(queue string) (duplicate, ghost bool) {
	for _, i := range t.all() {
		if i.rule.perCall() || i.rule.FailEntry != nil || !i.fire("ReceiveMessage", queue) {
			continue
		}
		duplicate = duplicate || i.rule.Duplicate
		ghost = ghost || i.rule.Ghost
	}
	return duplicate, ghost
}
