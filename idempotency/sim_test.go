package idempotency_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A history is one run of the protocol under faults drawn from a seed: workers, a
// queue and a store in one goroutine, in virtual time, with each call split into
// the request that leaves, what the server makes of it, and the reply that comes
// back, so that a crash, a pause or a loss can fall between any two of them. It
// depends on nothing but its seed: the same seed is the same history, event by
// event.
//
// The queue (sim_queue_test.go) and the workers (sim_worker_test.go,
// sim_run_test.go) are models of SQS and of this package's middleware on its
// runtime. The store (sim_store_test.go) is not: its records are changed by the
// transitions that MemoryStore uses and, in a share of the histories, by the
// scripts of redisstore beside them.

// simPlan is what a history has in store. Rates are per call or per minute.
type simPlan struct {
	workers, keys int
	copies        int // of each key's message, at most
	mismatch      bool
	visibility    time.Duration
	margin        time.Duration
	storeTimeout  time.Duration
	slots         int
	maxAttempts   int
	maxReceives   int
	faultsEnd     time.Duration
	strict        bool // a claim that ran out cancels its handler at once
	lost, slow    float64
	crash, pause  time.Duration // mean distance, 0 for never
	lose, step    time.Duration
	outage        time.Duration
	ghosts        float64
	staleError    float64 // how often a stale receipt handle is an error
	long          bool    // handlers that outlast several leases
	fail, deaf    float64
	killer        bool // the first key's handler kills its process
	neverEnds     bool // the second key's handler fails for ever
	redrive       bool
	replays       int // how many duplicates are sent while it runs
	shutdown      time.Duration
}

func drawPlan(r *rand.Rand) simPlan {
	some := func(p float64, v float64) float64 {
		if r.Float64() < p {
			return v * (0.2 + r.Float64())
		}
		return 0
	}
	every := func(p float64, mean time.Duration) time.Duration {
		if r.Float64() < p {
			return time.Duration((0.3 + r.Float64()) * float64(mean))
		}
		return 0
	}
	p := simPlan{
		workers: 2 + r.IntN(3), keys: 1 + r.IntN(2), copies: 1 + r.IntN(3),
		mismatch:   r.IntN(8) == 0,
		visibility: 30 * time.Second, margin: 5 * time.Second, storeTimeout: time.Second,
		slots: 1 + r.IntN(3), maxAttempts: 3, maxReceives: []int{7, 10, 1000}[r.IntN(3)],
		faultsEnd: time.Duration(2+r.IntN(6)) * time.Minute,
		strict:    r.IntN(2) == 0,
		lost:      some(0.6, 0.05), slow: some(0.5, 0.1),
		crash: every(0.5, 2*time.Minute), pause: every(0.5, 2*time.Minute),
		lose: every(0.3, 3*time.Minute), step: every(0.15, 3*time.Minute),
		outage: every(0.3, 3*time.Minute),
		ghosts: some(0.3, 0.3), staleError: r.Float64(),
		long: r.IntN(2) == 0,
		fail: some(0.5, 0.4), deaf: some(0.5, 0.8),
		killer: r.IntN(20) == 0, neverEnds: r.IntN(20) == 0, redrive: r.IntN(4) == 0,
		replays:  r.IntN(3),
		shutdown: every(0.2, 3*time.Minute),
	}
	if p.killer || p.neverEnds {
		// They go on for as long as there are copies.
		p.copies, p.replays = 1+r.IntN(2), r.IntN(2)
	}
	return p
}

// sim is one history.
type sim struct {
	seed    uint64
	r       *rand.Rand
	plan    simPlan
	now     time.Duration // the true time
	events  simEvents
	made    int
	queue   *simQueue
	store   *simStore
	workers []*simWorker
	keys    []*simKey
	runs    int
	count   *simCounts
	fresh   int      // releases, redrives and deaths by the queue: each a new beginning
	faults  []string // violated invariants
	logging bool
	log     []string
}

// maxEvents is far above what any history takes: one that goes on for ever is
// a violation of I6 and must end.
const maxEvents = 60_000

// newSim makes the history of seed, which counts what happens in count. mirror may
// be nil.
func newSim(seed uint64, logging bool, count *simCounts, mirror simMirror) *sim {
	s := &sim{seed: seed, count: count, r: rand.New(rand.NewPCG(seed, 0x686f6c6466617374)), logging: logging}
	s.plan = drawPlan(s.r)
	s.logf("plan %+v", s.plan)
	s.queue = &simQueue{s: s}
	s.store = &simStore{s: s, mirror: mirror}
	for k := range s.plan.keys {
		s.addKey(k)
	}
	for id := range s.plan.workers {
		w := &simWorker{s: s, id: id, ppm: int64(s.r.IntN(401) - 200)}
		s.workers = append(s.workers, w)
		s.after(s.draw(0, 2*time.Second), w.start)
	}
	s.disturb()
	return s
}

func (s *sim) addKey(k int) {
	key := &simKey{s: s, id: k, name: fmt.Sprintf("sim:%d:%d", s.seed, k)}
	s.keys = append(s.keys, key)
	s.store.records = append(s.store.records, simRecord{})
	if m := s.store.mirror; m != nil {
		if err := m.Put(key.name, nil); err != nil {
			s.violate("mirror", "%v", err)
		}
	}
	for range 1 + s.r.IntN(s.plan.copies) {
		s.queue.send(key, s.body())
	}
	for range s.plan.replays {
		s.after(s.draw(0, s.plan.faultsEnd), func() { s.queue.send(key, s.body()) })
	}
}

// body draws which payload a copy has: all the same, but where keys are confused.
func (s *sim) body() string {
	if s.plan.mismatch && s.r.IntN(3) == 0 {
		return "other"
	}
	return "same"
}

// run runs the history to its end: until every message is settled, or for much
// longer than that can take.
func (s *sim) run() {
	limit := s.plan.faultsEnd + 12*time.Hour
	redrives := 0
	if s.plan.redrive {
		redrives = 1
	}
	for len(s.faults) == 0 {
		if s.now > s.plan.faultsEnd && s.queue.quiet() {
			if redrives == 0 || !s.queue.redrive() {
				break
			}
			redrives--
			for _, key := range s.keys {
				key.mended, key.runsBefore = true, key.runs
			}
		}
		if s.now > limit || s.made > maxEvents {
			s.violate("I6", "not all is settled at %v after %d events: %s", s.now, s.made, s.queue.left())
			break
		}
		e := s.events.pop()
		if e.f == nil {
			s.violate("I6", "nothing goes on, but not all is settled: %s", s.queue.left())
			break
		}
		s.now = e.at
		s.made++
		e.f()
	}
	if len(s.faults) == 0 {
		s.finish()
	}
}

// faulty tells whether faults may happen still.
func (s *sim) faulty() bool { return s.now < s.plan.faultsEnd }

// disturb plans what befalls the store as a whole; workers plan their own crashes.
func (s *sim) disturb() {
	repeat := func(mean time.Duration, f func()) {
		if mean == 0 {
			return
		}
		var next func()
		next = func() {
			if s.faulty() {
				f()
				s.after(s.draw(0, 2*mean), next)
			}
		}
		s.after(s.draw(0, 2*mean), next)
	}
	repeat(s.plan.lose, s.store.lose)
	repeat(s.plan.step, s.store.stepClock)
	repeat(s.plan.outage, s.store.goDown)
	for _, w := range s.workers {
		repeat(s.plan.crash, w.crashed)
		repeat(s.plan.pause, w.pause)
		repeat(s.plan.shutdown, w.shutdown)
	}
}

// draw returns a duration between from and to.
func (s *sim) draw(from, to time.Duration) time.Duration {
	return from + time.Duration(s.r.Int64N(int64(to-from)+1))
}

func (s *sim) chance(p float64) bool { return p > 0 && s.r.Float64() < p }

func (s *sim) after(d time.Duration, f func()) { s.events.push(s.now+max(d, 0), f) }

func (s *sim) logf(format string, args ...any) {
	if s.logging {
		s.log = append(s.log, fmt.Sprintf("%12.6f ", s.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// violate notes a broken invariant; the history ends with it.
func (s *sim) violate(invariant, format string, args ...any) {
	fault := invariant + ": " + fmt.Sprintf(format, args...)
	s.faults = append(s.faults, fault)
	s.logf("VIOLATION %s", fault)
}

// report is all there is to say of a history that went wrong.
func (s *sim) report() string {
	return fmt.Sprintf("history %d violates\n\t%s\nreplay it: HOLDFAST_HISTORY=%d go test -run 'TestHistories$' ./idempotency\n%s",
		s.seed, strings.Join(s.faults, "\n\t"), s.seed, strings.Join(s.log, "\n"))
}

// simEvents is a heap of what is to happen, in the order of time and, at one
// time, in the order in which it was planned.
type simEvents struct {
	list []simEvent
	n    uint64
}

type simEvent struct {
	at  time.Duration
	seq uint64
	f   func()
}

func (e simEvent) before(o simEvent) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

func (q *simEvents) push(at time.Duration, f func()) {
	q.n++
	q.list = append(q.list, simEvent{at, q.n, f})
	for i := len(q.list) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.list[i].before(q.list[up]) {
			break
		}
		q.list[i], q.list[up] = q.list[up], q.list[i]
		i = up
	}
}

// pop returns the next event, one without a function where there is none.
func (q *simEvents) pop() simEvent {
	if len(q.list) == 0 {
		return simEvent{}
	}
	first := q.list[0]
	last := len(q.list) - 1
	q.list[0] = q.list[last]
	q.list[last] = simEvent{}
	q.list = q.list[:last]
	for i := 0; ; {
		next := 2*i + 1
		if next >= last {
			break
		}
		if next+1 < last && q.list[next+1].before(q.list[next]) {
			next++
		}
		if !q.list[next].before(q.list[i]) {
			break
		}
		q.list[i], q.list[next] = q.list[next], q.list[i]
		i = next
	}
	return first
}
