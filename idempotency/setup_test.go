package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

const visibility = 30 * time.Second

// fakeLease is a hold on a message as the runtime would keep it. Tests move it.
type fakeLease struct {
	mu       sync.Mutex // guards all below
	deadline time.Time
	limit    time.Time
	done     chan struct{}
	err      error
	onRenew  map[int]func(time.Time, error)
	nextHook int
	extends  int
	extend   error // what Extend returns
	key      string
}

// newLease returns the hold of a message that was received just now.
func newLease() *fakeLease {
	now := time.Now()
	return &fakeLease{
		deadline: now.Add(visibility - time.Second),
		limit:    now.Add(11 * time.Hour), // an hour was used up before
		done:     make(chan struct{}),
		onRenew:  make(map[int]func(time.Time, error)),
	}
}

func (l *fakeLease) Deadline() time.Time   { l.mu.Lock(); defer l.mu.Unlock(); return l.deadline }
func (l *fakeLease) Limit() time.Time      { return l.limit }
func (l *fakeLease) Done() <-chan struct{} { return l.done }
func (l *fakeLease) Err() error            { l.mu.Lock(); defer l.mu.Unlock(); return l.err }
func (l *fakeLease) SetKey(key string)     { l.mu.Lock(); defer l.mu.Unlock(); l.key = key }

func (l *fakeLease) Extend(context.Context) error {
	l.mu.Lock()
	l.extends++
	err := l.extend
	l.mu.Unlock()
	if err == nil {
		l.renew()
	}
	return err
}

func (l *fakeLease) OnRenew(f func(time.Time, error)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.nextHook
	l.nextHook++
	l.onRenew[n] = f
	return func() { l.mu.Lock(); defer l.mu.Unlock(); delete(l.onRenew, n) }
}

// renew extends the hold by the visibility, as the runtime's heartbeat does.
func (l *fakeLease) renew() { l.tell(time.Now().Add(visibility), nil) }

// lose ends the hold as a stale receipt handle does.
func (l *fakeLease) lose() {
	l.tell(l.Deadline(), fmt.Errorf("%w: receipt handle is invalid", holdfast.ErrLeaseLost))
}

func (l *fakeLease) tell(deadline time.Time, lost error) {
	l.mu.Lock()
	l.deadline, l.err = deadline, lost
	if lost != nil {
		close(l.done)
	}
	var hooks []func(time.Time, error)
	for _, f := range l.onRenew {
		hooks = append(hooks, f)
	}
	l.mu.Unlock()
	for _, f := range hooks {
		f(deadline, lost)
	}
}

// hooks is how many functions are registered.
func (l *fakeLease) hooks() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.onRenew) }

// heartbeat renews at half the visibility until ctx ends.
func (l *fakeLease) heartbeat(ctx context.Context) {
	for {
		select {
		case <-time.After(visibility / 2):
			l.renew()
		case <-ctx.Done():
			return
		}
	}
}

// faulty is a store whose calls can be made to fail, before or after they are
// applied, and are counted.
type faulty struct {
	idempotency.Store
	mu     sync.Mutex // guards all below
	before func(op string) error
	after  func(op string) error
	bad    string // a key that cannot be claimed
	calls  map[string]int
	last   idempotency.ReleaseRequest
	claims []idempotency.ClaimRequest
	done   []idempotency.CompleteRequest
}

var errDown = errors.New("connection refused")

func (f *faulty) hook(op string, which *func(string) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if which == &f.before {
		if f.calls == nil {
			f.calls = make(map[string]int)
		}
		f.calls[op]++
	}
	if *which == nil {
		return nil
	}
	return (*which)(op)
}

func (f *faulty) set(before, after func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// failKey makes the claims of one key fail.
func (f *faulty) failKey(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = key
}

func (f *faulty) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

func (f *faulty) Claim(ctx context.Context, r idempotency.ClaimRequest) (reply idempotency.ClaimReply, err error) {
	f.mu.Lock()
	f.claims = append(f.claims, r)
	bad := f.bad == r.Key
	f.mu.Unlock()
	if bad {
		return reply, errDown
	}
	if err := f.hook("claim", &f.before); err != nil {
		return reply, err
	}
	if reply, err = f.Store.Claim(ctx, r); err != nil {
		return reply, err
	}
	return reply, f.hook("claim", &f.after)
}

func (f *faulty) Extend(ctx context.Context, r idempotency.ExtendRequest) (reply idempotency.ExtendReply, err error) {
	if err := f.hook("extend", &f.before); err != nil {
		return reply, err
	}
	if reply, err = f.Store.Extend(ctx, r); err != nil {
		return reply, err
	}
	return reply, f.hook("extend", &f.after)
}

func (f *faulty) Complete(ctx context.Context, r idempotency.CompleteRequest) (reply idempotency.CompleteReply, err error) {
	f.mu.Lock()
	f.done = append(f.done, r)
	f.mu.Unlock()
	if err := f.hook("complete", &f.before); err != nil {
		return reply, err
	}
	if reply, err = f.Store.Complete(ctx, r); err != nil {
		return reply, err
	}
	return reply, f.hook("complete", &f.after)
}

func (f *faulty) Release(ctx context.Context, r idempotency.ReleaseRequest) (reply idempotency.ReleaseReply, err error) {
	f.mu.Lock()
	f.last = r
	f.mu.Unlock()
	if err := f.hook("release", &f.before); err != nil {
		return reply, err
	}
	if reply, err = f.Store.Release(ctx, r); err != nil {
		return reply, err
	}
	return reply, f.hook("release", &f.after)
}

func (f *faulty) Poll(ctx context.Context, keys []string) (snapshots []idempotency.Snapshot, err error) {
	if err := f.hook("poll", &f.before); err != nil {
		return nil, err
	}
	if snapshots, err = f.Store.Poll(ctx, keys); err != nil {
		return nil, err
	}
	return snapshots, f.hook("poll", &f.after)
}

func (f *faulty) Probe(ctx context.Context) error {
	if err := f.hook("probe", &f.before); err != nil {
		return err
	}
	return f.Store.Probe(ctx)
}

// bundle is what a middleware test works with.
type bundle struct {
	t      *testing.T
	memory *idempotency.MemoryStore
	store  *faulty
	mw     *idempotency.Middleware
	events *events
}

// events keeps what the hooks told.
type events struct {
	mu              sync.Mutex // guards all below
	claimed         []idempotency.ClaimedEvent
	lost            []idempotency.LostEvent
	recordLost      []idempotency.RecordLostEvent
	doubleExecution []idempotency.DoubleExecutionEvent
	storeFailed     []idempotency.StoreFailedEvent
	parked          []idempotency.ParkedEvent
	unprotected     []idempotency.UnprotectedEvent
	down            []idempotency.StoreDownEvent
	up              []idempotency.StoreUpEvent
}

func keep[E any](mu *sync.Mutex, to *[]E) func(E) {
	return func(e E) { mu.Lock(); defer mu.Unlock(); *to = append(*to, e) }
}

func setup(t *testing.T, change ...func(*idempotency.Config)) *bundle {
	t.Helper()
	b := &bundle{t: t, memory: idempotency.NewMemoryStore(), events: &events{}}
	b.store = &faulty{Store: b.memory}
	e := b.events
	cfg := idempotency.Config{Consumer: "orders", Process: new(idempotency.Process), Hooks: idempotency.Hooks{
		Claimed:         keep(&e.mu, &e.claimed),
		Lost:            keep(&e.mu, &e.lost),
		RecordLost:      keep(&e.mu, &e.recordLost),
		DoubleExecution: keep(&e.mu, &e.doubleExecution),
		StoreFailed:     keep(&e.mu, &e.storeFailed),
		Parked:          keep(&e.mu, &e.parked),
		Unprotected:     keep(&e.mu, &e.unprotected),
		StoreDown:       keep(&e.mu, &e.down),
		StoreUp:         keep(&e.mu, &e.up),
	}}
	for _, f := range change {
		f(&cfg)
	}
	b.mw = idempotency.New(b.store, cfg)
	if err := b.mw.Validate(); err != nil {
		t.Fatal(err)
	}
	return b
}

func message() *holdfast.Message {
	return &holdfast.Message{
		ID: "m-1", Body: `{"order":1}`, ReceiveCount: 1, Attempt: 1,
		Queue: holdfast.Queue{
			Name: "orders", ARN: "arn:aws:sqs:eu-west-1:1:orders",
			Visibility: visibility, Retention: 4 * 24 * time.Hour, MaxReceiveCount: 10,
		},
	}
}

// handle gives m to the middleware in front of f, under lease.
func (b *bundle) handle(ctx context.Context, m *holdfast.Message, lease holdfast.Lease, f func(context.Context, *holdfast.Message) error) error {
	return b.mw.Wrap(holdfast.HandlerFunc(f)).Handle(holdfast.NewContext(ctx, m, lease), m)
}

// run handles a fresh delivery of message with a handler that returns err, and
// tells whether it was called.
func (b *bundle) run(err error) (called bool, result error) {
	b.t.Helper()
	result = b.handle(b.t.Context(), message(), newLease(), func(context.Context, *holdfast.Message) error {
		called = true
		return err
	})
	return called, result
}

// record is the stored record of message; ok is false where there is none.
func (b *bundle) record() (r idempotency.Record, ok bool) {
	b.t.Helper()
	packed, _, ok := b.memory.Raw(b.key())
	if !ok {
		return r, false
	}
	r, err := idempotency.ParseRecord(packed)
	if err != nil {
		b.t.Fatal(err)
	}
	return r, true
}

func (b *bundle) key() string {
	b.t.Helper()
	key, err := b.mw.KeyOf(message())
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

// state wants the record to be in a state with a count of attempts.
func (b *bundle) state(want idempotency.State, attempts int) {
	b.t.Helper()
	r, ok := b.record()
	if !ok {
		b.t.Fatal("there is no record")
	}
	if r.State != want || r.Attempts != attempts {
		b.t.Errorf("record is %c with %d attempts, want %c with %d", r.State, r.Attempts, want, attempts)
	}
}

// other claims the key of message for another worker.
func (b *bundle) other(ctx context.Context, class idempotency.Class) idempotency.ClaimReply {
	b.t.Helper()
	r := request(b.key(), "other")
	reply, err := b.memory.Claim(ctx, r)
	if err != nil || reply.Class != class {
		b.t.Fatalf("the other worker's claim: %v, %v; want %v", reply.Class, err, class)
	}
	return reply
}

// otherDone completes the key for the worker that other made.
func (b *bundle) otherDone(ctx context.Context, claim idempotency.ClaimReply) {
	b.t.Helper()
	reply, err := b.memory.Complete(ctx, idempotency.CompleteRequest{
		Key: b.key(), Token: "other", Fence: claim.Fence, Attempts: claim.Attempts, TTL: time.Hour,
	})
	if err != nil || reply.Class != idempotency.ClassOwn {
		b.t.Fatalf("the other worker's completion: %v, %v", reply.Class, err)
	}
}
