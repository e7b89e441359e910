package snsserver

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

// Deliver stands for the action of a delivery's try in rules: SNS sending to a
// queue.
const Deliver = "Deliver"

// Rule is a fault and when it strikes. The zero values of the conditions mean
// "always". Only one of the effects is set.
type Rule struct {
	// Action is the operation's name or Deliver, "" for any operation.
	Action string
	// Topic is the topic's name, "" for any.
	Topic string
	// Queue is the queue's name, "" for any; Deliver only.
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

	// Fail refuses the call. A try of a delivery fails with it: by the Receiver's
	// fault it is tried again, by the sender's it is not.
	Fail *Error
	// Delay holds the call back before it is applied, or, with OnReply, its
	// reply after. A delivery is late by it, and on a FIFO topic so are those
	// behind it.
	Delay   time.Duration
	OnReply bool
	// Cut breaks the connection before the call is applied. Deliveries are tried
	// again.
	Cut bool
	// Drop applies the call and breaks the connection instead of replying. A
	// delivery that was made is taken for failed, and made again.
	Drop bool
	// Hang never answers; the call ends with its context, unapplied. Not for
	// deliveries.
	Hang bool
	// FailEntry refuses single entries of a batch. It is matched once per entry.
	FailEntry *Error
}

// perCall tells rules that are matched with a call from those matched with the
// entries inside.
func (r *Rule) perCall() bool { return r.FailEntry == nil }

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
func (i *Injection) fire(action, topic, queue string) bool {
	r := &i.rule
	switch {
	case r.Action != action && (r.Action != "" || action == Deliver),
		r.Topic != "" && r.Topic != topic,
		r.Queue != "" && r.Queue != queue:
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
	if r.Action != "" && r.Action != Deliver && operations[r.Action] == nil {
		bad("Action %q is no operation of this server", r.Action)
	}
	if r.Topic != "" && !validTopicName(r.Topic) {
		bad("Topic %q is no name of a topic", r.Topic)
	}
	if r.Queue != "" && r.Action != Deliver {
		bad("Queue %q is for rules with the Action %s", r.Queue, Deliver)
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
	if r.OnReply && (r.Delay == 0 || r.Action == Deliver) {
		bad("OnReply is for rules with a Delay, and not for deliveries")
	}
	if r.Hang && r.Action == Deliver {
		bad("Hang is not for deliveries")
	}
	if r.FailEntry != nil && !strings.HasSuffix(r.Action, "Batch") {
		bad("Action %q has no entries that could fail", r.Action)
	}
	effects := 0
	for _, set := range []bool{r.Fail != nil, r.Delay > 0, r.Cut, r.Drop, r.Hang, r.FailEntry != nil} {
		if set {
			effects++
		}
	}
	if effects != 1 {
		bad("%d of Fail, Delay, Cut, Drop, Hang and FailEntry are set, want 1", effects)
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

// strike is what befalls one call, or one try of a delivery.
type strike struct {
	delay      time.Duration
	replyDelay time.Duration
	fail       error
	hang       bool
	drop       bool
}

func (t *faultTable) strike(action, topic string) strike { return t.strikeAt(action, topic, "") }

func (t *faultTable) strikeAt(action, topic, queue string) strike {
	var s strike
	for _, i := range t.all() {
		if !i.rule.perCall() || !i.fire(action, topic, queue) {
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
func (t *faultTable) entry(action, topic string) *Error {
	for _, i := range t.all() {
		if i.rule.FailEntry != nil && i.fire(action, topic, "") {
			return i.rule.FailEntry
		}
	}
	return nil
}
