package consumer_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/sqstest"
)

// A history here is one run of the real runtime with the real middleware on the
// real store, in virtual time: a few processes on a queue and a Redis that a seed
// disturbs. What the goroutines make of it is not the same in every run, so a
// history that fails prints its events; the simulation that replays exactly is in
// package idempotency. What is checked is what the world sees: effects, fences,
// deletes and receives.

// historySeeds are the histories of this run: HOLDFAST_HISTORY is one of them,
// HOLDFAST_HISTORIES how many. .ci/run runs 500; a plain go test as many as cost
// little, so that all unit tests stay under a minute.
func historySeeds(t *testing.T) (first, n uint64) {
	t.Helper()
	number := func(name string, otherwise uint64) uint64 {
		v := os.Getenv(name)
		if v == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	if seed := number("HOLDFAST_HISTORY", 0); seed != 0 {
		return seed, 1
	}
	if raceDetector {
		return 1, 30
	}
	return number("HOLDFAST_SEED", 1), number("HOLDFAST_HISTORIES", 100)
}

// TestHistoriesOfTheRuntime: no message is lost; no key's effect is repeated but
// where the crash matrix says so; fences grow; nothing is deleted before its
// completion is on record or its copy dead-lettered; each receive beyond the first
// has its excuse.
func TestHistoriesOfTheRuntime(t *testing.T) {
	t.Parallel()
	first, n := historySeeds(t)
	var total historyCounts
	t.Run("histories", func(t *testing.T) {
		for seed := first; seed < first+n; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				inBubble(t, func(t *testing.T) { newHistory(t, seed).run(&total) })
			})
		}
	})
	t.Logf("%d histories: %s", n, &total)
	if n >= 500 && !t.Failed() {
		total.allHappened(t)
	}
}

// historyCounts is what happened in all histories, so that a fault that was never
// made is seen.
type historyCounts struct {
	messages, effects, repeats, refused   atomic.Int64
	crashes, stalls, losses, outages      atomic.Int64
	storeFaults, dead, overlaps, receives atomic.Int64
	lostReplies, ghosts, duplicates       atomic.Int64
	takeovers, busy, done                 atomic.Int64
}

func (c *historyCounts) list() []struct {
	name string
	n    int64
} {
	return []struct {
		name string
		n    int64
	}{
		{"messages", c.messages.Load()},
		{"receives", c.receives.Load()},
		{"effects", c.effects.Load()},
		{"effects repeated, each with a cause", c.repeats.Load()},
		{"late writes refused by the fence", c.refused.Load()},
		{"runs beside one that was cut off", c.overlaps.Load()},
		{"keys taken over", c.takeovers.Load()},
		{"keys found busy", c.busy.Load()},
		{"keys found done", c.done.Load()},
		{"dead letters", c.dead.Load()},
		{"crashes", c.crashes.Load()},
		{"processes cut off for a while", c.stalls.Load()},
		{"records lost", c.losses.Load()},
		{"outages of the store", c.outages.Load()},
		{"failed calls of the store", c.storeFaults.Load()},
		{"lost replies of the queue", c.lostReplies.Load()},
		{"ghosts", c.ghosts.Load()},
		{"duplicate deliveries", c.duplicates.Load()},
	}
}

func (c *historyCounts) String() string {
	var b strings.Builder
	for _, e := range c.list() {
		fmt.Fprintf(&b, "\n%8d  %s", e.n, e.name)
	}
	return b.String()
}

func (c *historyCounts) allHappened(t *testing.T) {
	t.Helper()
	for _, e := range c.list() {
		if e.n == 0 {
			t.Errorf("there were no %s: the histories show less than they should", e.name)
		}
	}
}

// history is one of them.
type history struct {
	t      *testing.T
	seed   uint64
	r      *rand.Rand // of the goroutine that disturbs
	srv    *sqstest.Server
	q      *sqstest.Queue
	mini   *miniredis.Miniredis
	store  idempotency.Store
	began  time.Time
	faulty atomic.Bool
	down   atomic.Bool
	upAt   atomic.Int64 // when the store was last back, in nanoseconds

	mu       sync.Mutex // guards all below
	chance   *rand.Rand
	lostCall float64 // how often a call of the store fails
	latency  time.Duration
	log      []string
	keys     map[string]*historyKey // by the key of the message
	byRecord map[string]*historyKey
	arrived  map[string]int // deliveries that arrived, by message
	count    *historyCounts
}

// historyKey is what is known of the work behind one key.
type historyKey struct {
	name, record string
	job          historyJob
	failures     int
	claimed      int64                // the greatest fence given
	written      int64                // the greatest fence that wrote
	hashes       map[string]string    // payload hash by token
	recorded     map[string]time.Time // when its completion was first on record, by payload hash
	bodies       map[string]int       // the payloads that were sent, and their effects
	isDone       bool                 // it still is, as far as the test knows
	lostAt       time.Time
	running      map[*historyRun]bool
	last         *historyRun // which wrote last
}

// historyRun is one run of a handler.
type historyRun struct {
	p       *historyProcess
	ctx     context.Context
	fence   int64
	began   time.Time
	failed  bool
	written time.Time
}

// historyJob is what a handler makes of its message.
type historyJob int

const (
	historyOK historyJob = iota
	historyLong
	historyFails // twice
	historyPanics
	historyRefused
	historyLater
	historyJobs
)

func newHistory(t *testing.T, seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 1))
	h := &history{
		t: t, seed: seed, r: r, chance: rand.New(rand.NewPCG(seed, 2)), began: time.Now(),
		srv: sqstest.New(t, sqstest.LogLimit(0)), mini: miniredis.NewMiniRedis(),
		keys: make(map[string]*historyKey), byRecord: make(map[string]*historyKey), arrived: make(map[string]int),
	}
	rdb := redis.NewClient(&redis.Options{
		Addr:                  "127.0.0.1:6379", // never dialled
		Dialer:                func(context.Context, string, string) (net.Conn, error) { return h.mini.Dial() },
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() {
		_ = rdb.Close()
		h.mini.Close()
	})
	h.store = watchedStore{redisstore.New(rdb), h}
	h.q = h.srv.Queue(t, "orders", sqstest.DLQ(50))
	h.srv.Delay("", time.Duration(1+r.IntN(20))*time.Millisecond)
	h.lostCall, h.latency = 0.1*r.Float64()*float64(r.IntN(2)), time.Duration(1+r.IntN(20))*time.Millisecond
	return h
}

func (h *history) event(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(format, args...)
}

// note is event with mu held.
func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf("%9.3f ", time.Since(h.began).Seconds())+fmt.Sprintf(format, args...))
}

// fault fails the test. mu is held.
func (h *history) fault(format string, args ...any) {
	h.t.Helper()
	h.note("VIOLATION "+format, args...)
	h.t.Errorf(format, args...)
}

// draw is true with chance p.
func (h *history) draw(p float64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chance.Float64() < p
}

// run runs the history.
func (h *history) run(total *historyCounts) {
	t, r := h.t, h.r
	h.count = total
	defer func() {
		if t.Failed() {
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Logf("replay with HOLDFAST_HISTORY=%d go test -run TestHistoriesOfTheRuntime ./consumer\n%s", h.seed, strings.Join(h.log, "\n"))
		}
	}()
	h.faulty.Store(true)
	var injected []*sqstest.Injected
	inject := func(to *atomic.Int64, f *sqstest.Injected) {
		injected = append(injected, f)
		t.Cleanup(func() { to.Add(int64(f.Hits())) })
	}
	if r.IntN(2) == 0 {
		inject(&total.lostReplies, h.srv.DropReply("", sqstest.Probability(0.05*r.Float64(), h.seed)))
	}
	if r.IntN(3) == 0 {
		inject(&total.storeFaults, h.srv.Fail("", sqstest.Internal500, sqstest.Probability(0.05*r.Float64(), h.seed+1)))
	}
	if r.IntN(3) == 0 {
		ghosts := h.srv.Ghost("orders", sqstest.Probability(0.2, h.seed+2))
		inject(&total.ghosts, ghosts)
	}
	if r.IntN(3) == 0 {
		twice := h.srv.Duplicate("orders", sqstest.Probability(0.2, h.seed+3))
		inject(&total.duplicates, twice)
	}
	for n := range 4 + r.IntN(10) {
		k := &historyKey{
			name: fmt.Sprintf("key-%d", n), job: historyOK, hashes: make(map[string]string), running: make(map[*historyRun]bool),
			recorded: make(map[string]time.Time), bodies: make(map[string]int),
		}
		if r.IntN(2) == 0 {
			k.job = historyJob(r.IntN(int(historyJobs)))
		}
		k.record = h.recordOf(k.name)
		h.keys[k.name], h.byRecord[k.record] = k, k
		h.send(k, "")
		for range max(0, r.IntN(4)-1) {
			h.send(k, "")
		}
		if r.IntN(20) == 0 {
			h.send(k, "!other")
		}
	}
	processes := make([]*historyProcess, 2+r.IntN(3))
	for i := range processes {
		processes[i] = h.start(i)
	}
	for end := time.Now().Add(time.Duration(1+r.IntN(3)) * time.Minute); time.Now().Before(end); {
		time.Sleep(time.Duration(r.IntN(20_000_000)) * time.Microsecond)
		switch i := r.IntN(len(processes)); r.IntN(8) {
		case 0, 1:
			processes[i].crash()
			processes[i] = h.start(i)
		case 2:
			processes[i].stall(time.Duration(r.IntN(60_000)) * time.Millisecond)
		case 3:
			h.lose()
		case 4:
			h.outage(time.Duration(r.IntN(20_000)) * time.Millisecond)
		case 5:
			h.send(h.keys[fmt.Sprintf("key-%d", r.IntN(len(h.keys)))], "")
		}
	}
	for _, f := range injected {
		f.Stop()
	}
	h.faulty.Store(false)
	h.event("no more faults")
	until(t, 2*time.Hour, "all messages are settled", empty(h.q))
	time.Sleep(2 * time.Minute) // for what is written late, and for ghosts
	synctest.Wait()
	for _, p := range processes {
		if err := p.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	h.judge()
}

// recordOf is the key under which the middleware keeps the record of a key.
func (h *history) recordOf(name string) (record string) {
	once := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{
		Consumer: "orders", KeyAttribute: "key", Process: new(idempotency.Process),
	})
	m := &holdfast.Message{Body: name, Attributes: map[string]holdfast.Attribute{"key": {Type: "String", String: name}}}
	err := once.Wrap(handle(func(ctx context.Context, _ *holdfast.Message) error {
		claim, _ := idempotency.FromContext(ctx)
		record = claim.Key
		return nil
	})).Handle(h.t.Context(), m)
	if err != nil {
		h.t.Fatal(err)
	}
	return record
}

// payloadHash is what the middleware keeps of a payload.
func payloadHash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// send sends a message for a key, another payload under it where suffix is set.
func (h *history) send(k *historyKey, suffix string) {
	id := h.q.Send(h.t, k.name+suffix, sqstest.StringAttribute("key", k.name))
	h.count.messages.Add(1)
	h.mu.Lock()
	k.bodies[k.name+suffix] += 0
	h.mu.Unlock()
	h.event("sent %s%s as %.8s", k.name, suffix, id)
}

// lose loses a record.
func (h *history) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for record, k := range h.byRecord {
		if h.mini.Exists(record) && h.chance.IntN(3) == 0 {
			h.mini.Del(record)
			k.isDone, k.lostAt = false, time.Now()
			h.count.losses.Add(1)
			h.note("record of %s is lost", k.name)
			return
		}
	}
}

// outage takes the store away for d.
func (h *history) outage(d time.Duration) {
	if h.down.Swap(true) {
		return
	}
	h.count.outages.Add(1)
	h.event("store down for %v", d)
	time.AfterFunc(d, func() {
		h.upAt.Store(time.Now().UnixNano())
		h.down.Store(false)
		h.event("store up")
	})
}

// inGrace tells whether a handler of p may be running beyond its lease because the store
// is away, or was until just now: it learns of a twin by its next extension. Where p was
// cut off before it could see that the store is back, it sees so when it is cut off no more.
func (h *history) inGrace(p *historyProcess) bool {
	const learns = 15 * time.Second
	seen := h.upAt.Load()
	if p.cutAt.Load()-seen < int64(learns) {
		seen = max(seen, p.until.Load())
	}
	return h.down.Load() || time.Since(time.Unix(0, seen)) < learns
}

// judge looks at what the history left.
func (h *history) judge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	copies := make(map[string]int)
	for _, m := range h.q.DLQ().Messages() {
		copies[m.Body]++
		h.count.dead.Add(1)
	}
	deleted := h.q.Deletions()
	for _, d := range deleted {
		name, _, _ := strings.Cut(d.Body, "!")
		done := h.keys[name].recorded[payloadHash(d.Body)]
		if copies[d.Body] == 0 && (done.IsZero() || d.At.Before(done)) {
			h.fault("%.8s (%s) was deleted at %v, before its completion was on record", d.ID, d.Body, d.At.Sub(h.began))
		}
	}
	for _, k := range h.keys {
		for body, effects := range k.bodies {
			if effects == 0 && copies[body] == 0 {
				h.fault("%s was lost", body)
			}
			h.count.effects.Add(int64(effects))
		}
		if (k.job == historyOK || k.job == historyLong || k.job == historyLater) && copies[k.name] > 0 && len(k.bodies) == 1 {
			h.fault("%s never fails and was dead-lettered", k.name)
		}
	}
}

// watchedStore sees what Redis made of each call, whether or not the caller ever
// hears of it.
type watchedStore struct {
	idempotency.Store
	h *history
}

func (s watchedStore) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	reply, err := s.Store.Claim(ctx, r)
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.byRecord[r.Key]
	if err != nil || k == nil {
		return reply, err
	}
	if reply.Claimed() {
		k.hashes[r.Token] = r.PayloadHash
	}
	switch reply.Class {
	case idempotency.ClassNew, idempotency.ClassTakeover:
		if reply.Fence <= k.claimed {
			h.fault("%s was claimed under fence %d after %d", k.name, reply.Fence, k.claimed)
		}
		if k.isDone {
			h.fault("%s was claimed after its completion", k.name)
		}
		k.claimed = reply.Fence
		if reply.Class == idempotency.ClassTakeover {
			h.count.takeovers.Add(1)
		}
	case idempotency.ClassBusy:
		h.count.busy.Add(1)
	case idempotency.ClassDone:
		h.count.done.Add(1)
	}
	h.note("store: claim of %s under %.4s: %v, fence %d, attempts %d, left %v", k.name, r.Token, reply.Class, reply.Fence, reply.Attempts, reply.Left)
	return reply, err
}

func (s watchedStore) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	reply, err := s.Store.Extend(ctx, r)
	if k := s.key(r.Key); err == nil && k != nil {
		s.h.event("store: extension of %s under %.4s by %v: %v", k.name, r.Token, r.Lease, reply.Class)
	}
	return reply, err
}

func (s watchedStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	reply, err := s.Store.Complete(ctx, r)
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.byRecord[r.Key]
	if err != nil || k == nil {
		return reply, err
	}
	if reply.Class == idempotency.ClassOwn || reply.Class == idempotency.ClassRestored {
		if k.recorded[r.PayloadHash].IsZero() {
			k.recorded[r.PayloadHash] = time.Now()
		}
		k.isDone = true
		if hash, ok := k.hashes[r.Token]; !ok || hash != r.PayloadHash {
			h.fault("%s was completed by %s with payload hash %q, claimed with %q", k.name, r.Token, r.PayloadHash, hash)
		}
	}
	h.note("store: completion of %s under %.4s: %v", k.name, r.Token, reply.Class)
	return reply, err
}

func (s watchedStore) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	reply, err := s.Store.Release(ctx, r)
	if k := s.key(r.Key); err == nil && k != nil {
		s.h.event("store: release of %s under %.4s, charge %d: %v, attempts %d", k.name, r.Token, r.Charge, reply.Class, reply.Attempts)
	}
	return reply, err
}

func (s watchedStore) key(record string) *historyKey {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	return s.h.byRecord[record]
}

// errCall is a call of the store that failed.
var errCall = errors.New("connection reset")

// historyStore is the store as a process reaches it: late, or not at all, or so
// that it does not hear the answer.
type historyStore struct {
	idempotency.Store
	p *historyProcess
}

func faultyCall[R any](ctx context.Context, p *historyProcess, name string, call func() (R, error)) (R, error) {
	var none R
	h := p.h
	return step(ctx, p.process, name, func() (R, error) {
		if !p.wait(ctx) {
			return none, ctx.Err()
		}
		time.Sleep(h.latency)
		if h.down.Load() || h.faulty.Load() && h.draw(h.lostCall) {
			h.count.storeFaults.Add(1)
			p.faulted()
			return none, fmt.Errorf("%w: %w", errCall, ctx.Err())
		}
		reply, err := call()
		if h.faulty.Load() && h.draw(h.lostCall) {
			h.count.storeFaults.Add(1)
			p.faulted()
			return none, errCall
		}
		return reply, err
	})
}

func (s historyStore) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	return faultyCall(ctx, s.p, "claim", func() (idempotency.ClaimReply, error) { return s.Store.Claim(ctx, r) })
}

func (s historyStore) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	return faultyCall(ctx, s.p, "extend", func() (idempotency.ExtendReply, error) { return s.Store.Extend(ctx, r) })
}

func (s historyStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	return faultyCall(ctx, s.p, "complete", func() (idempotency.CompleteReply, error) { return s.Store.Complete(ctx, r) })
}

func (s historyStore) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	return faultyCall(ctx, s.p, "release", func() (idempotency.ReleaseReply, error) { return s.Store.Release(ctx, r) })
}

func (s historyStore) Poll(ctx context.Context, keys []string) ([]idempotency.Snapshot, error) {
	return faultyCall(ctx, s.p, "poll", func() ([]idempotency.Snapshot, error) { return s.Store.Poll(ctx, keys) })
}

func (s historyStore) Probe(ctx context.Context) error {
	_, err := faultyCall(ctx, s.p, "probe", func() (struct{}, error) { return struct{}{}, s.Store.Probe(ctx) })
	return err
}
