package consumer_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/sqstest"
)

// process is the process of one consumer, which can end like a machine that loses
// power: from then on no call of it gets out, no reply gets in, and what its
// handlers do does not count. It dies when it reaches the point named end, such
// as "before DeleteMessageBatch", "after claim" or "in the handler".
type process struct {
	t   *testing.T
	srv *sqstest.Server
	end string

	ctx context.Context // ends with the process
	die context.CancelFunc
}

func newProcess(t *testing.T, srv *sqstest.Server, end string) *process {
	p := &process{t: t, srv: srv, end: end}
	p.ctx, p.die = context.WithCancel(context.Background())
	t.Cleanup(p.die)
	return p
}

func (p *process) alive() bool { return p.ctx.Err() == nil }

// reach tells whether the process lives beyond the point.
func (p *process) reach(point string) bool {
	if point == p.end {
		p.die()
	}
	return p.alive()
}

// step is one call to the world outside.
func step[R any](ctx context.Context, p *process, name string, call func() (R, error)) (R, error) {
	if p.reach("before " + name) {
		if r, err := call(); p.reach("after " + name) {
			return r, err
		}
	}
	var none R
	<-ctx.Done()
	return none, ctx.Err()
}

// Do implements sqs.HTTPClient.
func (p *process) Do(req *http.Request) (*http.Response, error) {
	_, action, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	//nolint:contextcheck // the request's own context is what is passed on
	return step(req.Context(), p, action, func() (*http.Response, error) {
		// The server sees that a long poll of the dead has been hung up.
		ctx, hangUp := context.WithCancel(req.Context())
		defer hangUp()
		defer context.AfterFunc(p.ctx, hangUp)()
		return p.srv.HTTPClient().Do(req.WithContext(ctx))
	})
}

func (p *process) client() *sqs.Client {
	return p.srv.SQS(func(o *sqs.Options) { o.HTTPClient = p })
}

// run runs a consumer in the process until the test ends.
func (p *process) run(q *sqstest.Queue, h holdfast.Handler, cfg consumer.Config) *running {
	return startWith(p.t, p.client(), q, h, cfg)
}

// startWith is start with a client of the test's own.
func startWith(t *testing.T, client consumer.SQSAPI, q *sqstest.Queue, h holdfast.Handler, cfg consumer.Config) *running {
	t.Helper()
	c, err := consumer.New(client, q.URL, h, cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Consumer: c, t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = c.Run(ctx)
	}()
	t.Cleanup(func() { r.cancel(); <-r.done })
	return r
}

// processStore is the store as one process sees it.
type processStore struct {
	p     *process
	store idempotency.Store
}

func (s processStore) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	return step(ctx, s.p, "claim", func() (idempotency.ClaimReply, error) { return s.store.Claim(ctx, r) })
}

func (s processStore) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	return step(ctx, s.p, "extend", func() (idempotency.ExtendReply, error) { return s.store.Extend(ctx, r) })
}

func (s processStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	return step(ctx, s.p, "complete", func() (idempotency.CompleteReply, error) { return s.store.Complete(ctx, r) })
}

func (s processStore) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	return step(ctx, s.p, "release", func() (idempotency.ReleaseReply, error) { return s.store.Release(ctx, r) })
}

func (s processStore) Poll(ctx context.Context, keys []string) ([]idempotency.Snapshot, error) {
	return step(ctx, s.p, "poll", func() ([]idempotency.Snapshot, error) { return s.store.Poll(ctx, keys) })
}

func (s processStore) Forget(ctx context.Context, key string) (bool, error) {
	return step(ctx, s.p, "forget", func() (bool, error) { return s.store.Forget(ctx, key) })
}

func (s processStore) Probe(ctx context.Context) error {
	_, err := step(ctx, s.p, "probe", func() (struct{}, error) { return struct{}{}, s.store.Probe(ctx) })
	return err
}

// effectTimes is when each message had its effects.
type effectTimes struct {
	mu sync.Mutex // guards at
	at map[string][]time.Time
}

func (l *effectTimes) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = make(map[string][]time.Time)
	}
	l.at[id] = append(l.at[id], time.Now())
}

func (l *effectTimes) effects(id string) []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at[id]
}

// job is what the handler makes of a message.
type job int

const (
	succeeds job = iota
	takesLong
	failsOnce
	isRefused // for good
)

// handler makes the handler of a process.
func (p *process) handler(j job, l *effectTimes) holdfast.Handler {
	return handle(func(ctx context.Context, m *holdfast.Message) error {
		took := 100 * time.Millisecond
		if j == takesLong {
			took = 40 * time.Second
		}
		work := time.NewTimer(took)
		defer work.Stop()
		if !p.reach("in the handler") {
			<-ctx.Done()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-work.C:
		}
		switch {
		case j == failsOnce && m.Attempt == 1:
			return errTest
		case j == isRefused:
			return holdfast.Permanent(errTest)
		}
		if p.alive() {
			l.add(m.ID)
		}
		if !p.reach("after the effect") {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
}

// nothingEarly fails the test where a message was deleted before its effect, or
// the acceptance of its copy by the dead-letter queue.
func nothingEarly(t *testing.T, q *sqstest.Queue, l *effectTimes) {
	t.Helper()
	copied := make(map[string]time.Time)
	if q.DLQ() != nil {
		for _, m := range q.DLQ().Messages() {
			copied[m.Body] = m.SentAt
		}
	}
	for _, d := range q.Deletions() {
		if at := l.effects(d.ID); len(at) > 0 {
			if d.At.Before(at[0]) {
				t.Errorf("message %s was deleted %v before its effect", d.ID, at[0].Sub(d.At))
			}
		} else if at, ok := copied[d.Body]; !ok || d.At.Before(at.Truncate(time.Millisecond)) {
			t.Errorf("message %s was deleted without effect or copy", d.ID)
		}
	}
}

// crash is one way to die and what is to come of it.
type crash struct {
	name    string
	end     string
	job     job
	effects int // in both processes together
	letters int // copies in the dead-letter queue
	// deleted: SQS has done the delete although nobody heard of it.
	deleted bool
}

var crashes = []crash{
	{name: "after the receive, before its reply", end: "after ReceiveMessage", effects: 1},
	{name: "in the handler", end: "in the handler", effects: 1},
	{name: "after the effect, before the handler returns", end: "after the effect", effects: 2},
	{name: "before the delete", end: "before DeleteMessageBatch", effects: 2},
	{name: "after the delete, before its reply", end: "after DeleteMessageBatch", effects: 1, deleted: true},
	{name: "before an extension", end: "before ChangeMessageVisibilityBatch", job: takesLong, effects: 1},
	{name: "after an extension, before its reply", end: "after ChangeMessageVisibilityBatch", job: takesLong, effects: 1},
	{name: "before a failed message is put off", end: "before ChangeMessageVisibilityBatch", job: failsOnce, effects: 1},
	{name: "after a failed message is put off, before the reply", end: "after ChangeMessageVisibilityBatch", job: failsOnce, effects: 1},
	{name: "before the dead-letter is sent", end: "before SendMessage", job: isRefused, letters: 1},
	{name: "after the dead-letter is sent, before the reply", end: "after SendMessage", job: isRefused, letters: 2},
	{name: "between the dead-letter and the delete", end: "before DeleteMessageBatch", job: isRefused, letters: 2},
	{name: "after the delete behind a dead-letter, before its reply", end: "after DeleteMessageBatch", job: isRefused, letters: 1, deleted: true},
}

// With the idempotency middleware: only a crash between the effect and its record
// repeats the effect.
var claimCrashes = []crash{
	{name: "before the claim", end: "before claim", effects: 1},
	{name: "after the claim, before its reply", end: "after claim", effects: 1},
	{name: "in the handler under a claim", end: "in the handler", effects: 1},
	{name: "between the effect and COMPLETE", end: "before complete", effects: 2},
	{name: "after COMPLETE, before its reply", end: "after complete", effects: 1},
	{name: "between COMPLETE and the delete", end: "before DeleteMessageBatch", effects: 1},
	{name: "after the delete of a completed message, before its reply", end: "after DeleteMessageBatch", effects: 1, deleted: true},
	{name: "between a visibility extended and its claim", end: "before extend", job: takesLong, effects: 1},
	{name: "after a claim extended, before its reply", end: "after extend", job: takesLong, effects: 1},
	{name: "before the RELEASE of a failed message", end: "before release", job: failsOnce, effects: 1},
	{name: "after a RELEASE, before its reply", end: "after release", job: failsOnce, effects: 1},
	{name: "between RELEASE and the change of visibility", end: "before ChangeMessageVisibilityBatch", job: failsOnce, effects: 1},
	{name: "between RELEASE and the dead-letter", end: "before SendMessage", job: isRefused, letters: 1},
}

func TestNoLossWhenAProcessDies(t *testing.T) {
	t.Parallel()
	t.Run("without claims", func(t *testing.T) {
		t.Parallel()
		for _, c := range crashes {
			t.Run(c.name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) { c.play(t, "orders", nil) })
			})
			if c.job == failsOnce {
				continue // retried here: nothing is put off on FIFO
			}
			// The deduplication id of a copy is the message's id.
			fifo := c
			fifo.letters = min(c.letters, 1)
			t.Run(c.name+", FIFO", func(t *testing.T) {
				inBubble(t, func(t *testing.T) { fifo.play(t, "orders.fifo", nil) })
			})
		}
	})
	t.Run("under claims", func(t *testing.T) {
		t.Parallel()
		for _, c := range claimCrashes {
			t.Run(c.name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) { c.play(t, "orders", idempotency.NewMemoryStore()) })
			})
			if c.job == failsOnce && c.end == "before ChangeMessageVisibilityBatch" {
				continue // retried here: nothing is put off on FIFO
			}
			t.Run(c.name+", FIFO", func(t *testing.T) {
				inBubble(t, func(t *testing.T) { c.play(t, "orders.fifo", idempotency.NewMemoryStore()) })
			})
		}
	})
}

// play lets one process die over a message and another take over.
func (c crash) play(t *testing.T, queue string, store idempotency.Store) {
	srv := sqstest.New(t)
	q := srv.Queue(t, queue, sqstest.DLQ(10))
	var group []sqstest.SendOption
	if strings.HasSuffix(queue, ".fifo") {
		group = append(group, sqstest.Group("a"))
	}
	id := q.Send(t, "order", group...)

	var l effectTimes
	config := func(p *process) (cfg consumer.Config) {
		if store != nil {
			cfg.Middleware = []holdfast.Middleware{idempotency.New(processStore{p, store}, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)})}
		}
		return cfg
	}
	first := newProcess(t, srv, c.end)
	first.run(q, first.handler(c.job, &l), config(first))
	until(t, 2*time.Minute, "the first process is dead", func() bool { return !first.alive() })
	if n := len(q.Deleted()); (n == 1) != c.deleted {
		t.Fatalf("%d messages were deleted when the process died", n)
	}
	died := time.Now()

	second := newProcess(t, srv, "")
	r := second.run(q, second.handler(c.job, &l), config(second))
	until(t, 3*time.Minute, "the message ends", empty(q))
	// The visibility had at most its whole length to go, and the job is to be done
	// once more.
	if took := time.Since(died); took > 30*time.Second+42*time.Second {
		t.Errorf("the message ended %v after the crash", took)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run of the second process: %v", err)
	}
	if n := len(l.effects(id)); n != c.effects {
		t.Errorf("the message had %d effects, want %d", n, c.effects)
	}
	if n := len(q.DLQ().Messages()); n != c.letters {
		t.Errorf("the dead-letter queue has %d copies, want %d", n, c.letters)
	}
	if got := q.Deleted(); len(got) != 1 || got[0] != id {
		t.Errorf("deleted: %v, want %s once", got, id)
	}
	nothingEarly(t, q, &l)
}

// A reply that is lost while the process lives.
func TestNoLossWhenAReplyIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		action   string
		job      job
		receives int // on a standard queue
		letters  int // copies on a standard queue
		calls    int // of the action, at least
	}{
		{name: "of ReceiveMessage", action: "ReceiveMessage", receives: 2, calls: 2},
		{name: "of DeleteMessageBatch", action: "DeleteMessageBatch", receives: 1, calls: 2},
		{name: "of ChangeMessageVisibilityBatch for an extension", action: "ChangeMessageVisibilityBatch", job: takesLong, receives: 1, calls: 2},
		{name: "of ChangeMessageVisibilityBatch for a retry", action: "ChangeMessageVisibilityBatch", job: failsOnce, receives: 2, calls: 2},
		{name: "of SendMessage to the dead-letter queue", action: "SendMessage", job: isRefused, receives: 1, letters: 2, calls: 2},
		{name: "of the delete behind a dead-letter", action: "DeleteMessageBatch", job: isRefused, receives: 1, letters: 1, calls: 2},
	} {
		for _, lost := range []int{1, 3} {
			name := c.name
			if lost > 1 {
				name += ", three times in a row"
			}
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders", sqstest.DLQ(10))
					drop := srv.DropReply(c.action, sqstest.Times(lost))
					id := q.Send(t, "order")
					var l effectTimes
					p := newProcess(t, srv, "")
					r := p.run(q, p.handler(c.job, &l), consumer.Config{})
					until(t, 3*time.Minute, "the message ends", empty(q))
					time.Sleep(time.Minute)
					if err := r.stop(); err != nil {
						t.Errorf("Run: %v", err)
					}
					if drop.Hits() != lost {
						t.Fatalf("%d replies were lost, want %d", drop.Hits(), lost)
					}
					effects, letters := 1, c.letters
					if c.job == isRefused {
						effects = 0
					}
					if letters > 1 {
						letters = lost + 1
					}
					if n := len(l.effects(id)); n != effects {
						t.Errorf("the message had %d effects, want %d", n, effects)
					}
					if n := len(q.DLQ().Messages()); n != letters {
						t.Errorf("the dead-letter queue has %d copies, want %d", n, letters)
					}
					receives := c.receives
					if c.action == "ReceiveMessage" {
						receives = 1 + lost
					}
					if n := q.Receives(id); n < c.receives || n > receives {
						t.Errorf("the message was received %d times, want %d", n, receives)
					}
					if n := srv.Calls(c.action); n < c.calls {
						t.Errorf("%s was called %d times, want %d at least", c.action, n, c.calls)
					}
					if s := r.Stats(); s.LeasesLost != 0 || s.Unsettled != 0 {
						t.Errorf("%d leases lost, %d messages unsettled, want none", s.LeasesLost, s.Unsettled)
					}
					if got := q.Deleted(); len(got) != 1 || got[0] != id {
						t.Errorf("deleted: %v, want %s once", got, id)
					}
					nothingEarly(t, q, &l)
				})
			})
		}
	}
	t.Run("of a FIFO receive, which is repeated and brings the same messages", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo", sqstest.DLQ(10))
			srv.DropReply("ReceiveMessage", sqstest.Times(1))
			id := q.Send(t, "order", sqstest.Group("a"))
			var l effectTimes
			p := newProcess(t, srv, "")
			p.run(q, p.handler(succeeds, &l), consumer.Config{})
			until(t, 5*time.Second, "the message ends", empty(q))
			if n := len(l.effects(id)); n != 1 {
				t.Errorf("the message had %d effects, want 1", n)
			}
			nothingEarly(t, q, &l)
		})
	})
}

// Many messages, in batches, and processes that die again and again wherever they
// are: what one leaves behind the next one finishes.
func TestNoLossInARowOfCrashes(t *testing.T) {
	t.Parallel()
	for _, claims := range []bool{false, true} {
		name := "without claims"
		if claims {
			name = "under claims, each effect once"
		}
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				const messages, deaths = 300, 15
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(100))
				srv.Delay("", 7*time.Millisecond)
				srv.Fail("", sqstest.Internal500, sqstest.Probability(0.05, 1))
				srv.DropReply("", sqstest.Probability(0.05, 2))
				ids := q.SendN(t, messages)
				store := idempotency.NewMemoryStore()
				var l effectTimes
				run := func() *process {
					p := newProcess(t, srv, "")
					var cfg consumer.Config
					if claims {
						cfg.Middleware = []holdfast.Middleware{idempotency.New(processStore{p, store}, idempotency.Config{Consumer: "orders", Process: new(idempotency.Process)})}
					}
					p.run(q, p.handler(succeeds, &l), cfg)
					return p
				}
				for i := range deaths {
					p := run()
					// Half a millisecond off the beat of the calls: no process dies at the
					// very instant of an effect, between it and its record.
					time.Sleep(time.Duration(130+17*i)*time.Millisecond + 500*time.Microsecond)
					p.die()
					time.Sleep(31 * time.Second) // what it held comes back
				}
				run()
				until(t, 10*time.Minute, "all end", empty(q))
				repeats := 0
				for _, id := range ids {
					n := len(l.effects(id))
					if n == 0 {
						t.Errorf("message %s was lost", id)
					}
					repeats += n - 1
				}
				if claims && repeats != 0 {
					t.Errorf("%d effects were repeated", repeats)
				}
				if !claims && repeats == 0 {
					t.Error("no crash fell between an effect and its delete: the test shows nothing")
				}
				if n := len(q.Deleted()); n != messages {
					t.Errorf("%d messages were deleted, want %d", n, messages)
				}
				nothingEarly(t, q, &l)
			})
		})
	}
}
