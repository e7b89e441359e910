// Package breaker keeps workers from burning receives on a store that is down, and
// a fleet of them from falling on one that has just come back.
package breaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// threshold is how many calls in a row must fail. A timeout now and then, among
	// calls that succeed, is the business of whoever made the call.
	threshold = 3
	// firstProbe and lastProbe bound the interval of probes, of which half is drawn
	// at random.
	firstProbe = 250 * time.Millisecond
	lastProbe  = 2 * time.Second
	// spread is the time over which a fleet reopens after its probes succeeded.
	spread = time.Second
	// Ramp is how long it takes from the reopening to full concurrency.
	Ramp = 5 * time.Second
	// step is how soon a receive that the ramp holds back is looked at again.
	step = 250 * time.Millisecond
)

// errRamp is why nothing is received for a moment after the reopening.
var errRamp = errors.New("idempotency: the store is back, and work begins gradually")

// Config is what a Breaker works with. All but Down and Up is required.
type Config struct {
	// Probe returns nil where the store would take a write now.
	Probe func(context.Context) error
	// Timeout bounds each probe.
	Timeout time.Duration
	// Life is the context of probes: once it has ended nobody waits for the store any
	// more, and the breaker stops probing until it is asked again.
	Life func() context.Context
	// Down and Up are told of the changes, outside of all locks. nil stands for
	// nobody.
	Down func(why error)
	Up   func(down time.Duration)
}

// Breaker opens after three failed calls in a row. It then probes the store by
// itself, with jitter, and closes again after a success, from which on messages
// are admitted gradually. It has no goroutine of its own but while it probes. Safe
// for concurrent use; make one with New.
type Breaker struct {
	cfg Config

	failures atomic.Int32 // calls in a row, while the store is taken for whole
	open     atomic.Bool  // reopened is not nil: for those who only want to know that it is

	mu       sync.Mutex // guards all below
	changed  time.Time  // of the last change
	reopened chan struct{}
	why      error
	probes   int
	asleep   bool      // no probe is scheduled, as nobody wanted one
	ramp     time.Time // the end of the ramp, zero where there is none
	epoch    int       // counts the reopenings
	fresh    int       // admitted in this epoch and still inside
	held     int       // not admitted in this epoch yet
	inside   int       // admitted and still inside
	most     int       // the greatest that inside has been
}

// New makes a breaker that takes the store for whole.
func New(cfg Config) *Breaker { return &Breaker{cfg: cfg} }

// Succeeded notes a call that the store answered.
func (b *Breaker) Succeeded() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
}

// Failed notes a call that was sent at sent and failed. Calls sent before the
// breaker last changed tell of what it knows already.
func (b *Breaker) Failed(sent time.Time, err error) {
	b.mu.Lock()
	if b.reopened != nil || sent.Before(b.changed) || b.failures.Add(1) < threshold {
		b.mu.Unlock()
		return
	}
	b.changed = time.Now()
	b.reopened = make(chan struct{})
	b.open.Store(true)
	b.why = fmt.Errorf("idempotency: the store is down: %w", err)
	b.probes, b.ramp = 0, time.Time{}
	b.schedule()
	b.mu.Unlock()
	if b.cfg.Down != nil {
		b.cfg.Down(err)
	}
}

// Open returns nil while the store is taken for whole; else a channel that is
// closed when it is so again, and why it is not.
func (b *Breaker) Open() (reopened <-chan struct{}, why error) {
	if !b.open.Load() {
		return nil, nil // as nearly always
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reopened == nil {
		return nil, nil
	}
	if b.asleep {
		b.asleep = false
		b.schedule()
	}
	return b.reopened, b.why
}

// Closed is Open for receives, as a holdfast.Gate has it: after a reopening it also
// lets them wait while as many messages are at work or held back as the ramp admits.
func (b *Breaker) Closed() (reopened <-chan struct{}, why error) {
	if reopened, why := b.Open(); reopened != nil {
		return reopened, why
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if limit, left := b.limit(); left > 0 && b.fresh+b.held >= limit {
		c := make(chan struct{})
		time.AfterFunc(min(left, step), func() { close(c) })
		return c, errRamp
	}
	return nil, nil
}

// limit is how many messages the ramp admits now, and what is left of it, 0 where
// there is none. Call with mu held.
func (b *Breaker) limit() (int, time.Duration) {
	if b.ramp.IsZero() {
		return 0, 0
	}
	left := time.Until(b.ramp)
	if left <= 0 {
		b.ramp, b.held = time.Time{}, 0
		return 0, 0
	}
	return max(1, int(float64(b.most)*float64(Ramp-left)/float64(Ramp))), left
}

// Admit counts a message in, unless the ramp has no room for it: it then returns
// how long the message is to wait until it asks again, as again. Whoever was
// admitted hands ticket to Leave at the end.
func (b *Breaker) Admit(again bool) (ticket int, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if again && b.held > 0 {
		b.held--
	}
	if limit, left := b.limit(); left > 0 && b.fresh >= limit {
		b.held++
		turn := Ramp * time.Duration(b.fresh+b.held) / time.Duration(max(b.most, 1))
		return 0, min(max(turn-(Ramp-left), 10*time.Millisecond), left)
	}
	b.inside++
	b.fresh++
	b.most = max(b.most, b.inside)
	return b.epoch, 0
}

// Leave counts a message out.
func (b *Breaker) Leave(ticket int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside--
	if ticket == b.epoch {
		b.fresh--
	}
}

// schedule has the store probed after a while. Call with mu held.
func (b *Breaker) schedule() {
	d := min(firstProbe<<min(b.probes, 10), lastProbe)
	b.probes++
	time.AfterFunc(d/2+rand.N(d/2+1), b.probe)
}

// probe asks the store, and reopens or goes on probing.
func (b *Breaker) probe() {
	life := b.cfg.Life()
	if life.Err() == nil && b.ask(life) == nil {
		time.AfterFunc(rand.N(spread+1), b.reopen)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asleep = life.Err() != nil; !b.asleep {
		b.schedule()
	}
}

// ask makes one probe. One that panics counts as failed: nobody is there to
// recover it.
func (b *Breaker) ask(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("idempotency: the probe of the store panicked: %v", v)
		}
	}()
	return b.cfg.Probe(ctx)
}

func (b *Breaker) reopen() {
	b.mu.Lock()
	now := time.Now()
	down := now.Sub(b.changed)
	b.changed = now
	b.failures.Store(0)
	close(b.reopened)
	b.open.Store(false)
	b.reopened, b.why = nil, nil
	b.ramp = now.Add(Ramp)
	b.epoch++
	b.fresh, b.held = 0, 0
	b.mu.Unlock()
	if b.cfg.Up != nil {
		b.cfg.Up(down)
	}
}
