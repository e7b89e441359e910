package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/slack"
	"github.com/holdfast-go/holdfast/sqstest"
)

// fencedLedger is what handlers write to: as a table of a database, it refuses a
// write with a smaller fence than it has seen, and applies the effect of a key
// once, in the same transaction.
type fencedLedger struct {
	mu       sync.Mutex
	started  map[string]int64 // the fence of the newest run
	written  map[string]int64 // the fence of the newest write
	recorded map[string]bool  // completed in the store
	effects  map[string]int
	repeats  int // runs that found the effect there
	refused  int // writes behind the fence
	faults   []string
}

func newFencedLedger() *fencedLedger {
	return &fencedLedger{
		started: make(map[string]int64), written: make(map[string]int64),
		recorded: make(map[string]bool), effects: make(map[string]int),
	}
}

func (l *fencedLedger) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// begin notes a run of the handler.
func (l *fencedLedger) begin(c idempotency.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Fence <= l.started[c.Key] {
		l.fault("%s ran under fence %d after %d", c.Key, c.Fence, l.started[c.Key])
	}
	if l.recorded[c.Key] {
		l.fault("%s ran after its completion was recorded", c.Key)
	}
	l.started[c.Key] = c.Fence
}

// write applies the effect.
func (l *fencedLedger) write(c idempotency.Claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Fence < l.written[c.Key] {
		l.refused++
		return
	}
	l.written[c.Key] = c.Fence
	if l.effects[c.Key] > 0 {
		l.repeats++
		return
	}
	l.effects[c.Key]++
}

// ledgerStore tells the ledger which completions the store has recorded.
type ledgerStore struct {
	idempotency.Store
	l *fencedLedger
}

func (s ledgerStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	reply, err := s.Store.Complete(ctx, r)
	if err == nil && (reply.Class == idempotency.ClassOwn || reply.Class == idempotency.ClassRestored) {
		s.l.mu.Lock()
		defer s.l.mu.Unlock()
		s.l.recorded[r.Key] = true
	}
	return reply, err
}

// slowStore takes its time to complete: a process can die in it, after the effect.
type slowStore struct{ idempotency.Store }

func (s slowStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	time.Sleep(4 * time.Millisecond)
	return s.Store.Complete(ctx, r)
}

// TestDoneOnceAndFenced: messages of which each tenth is sent twice, three workers
// of which one dies every now and then while its handlers live on, replies that are
// lost.
func TestDoneOnceAndFenced(t *testing.T) {
	t.Parallel()
	t.Run("10,000 messages in the memory store", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			doneOnce(t, 10_000, idempotency.NewMemoryStore())
		})
	})
	t.Run("1,000 messages in Redis", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			mini := miniredis.NewMiniRedis()
			rdb := redis.NewClient(&redis.Options{
				Addr:   "127.0.0.1:6379", // never dialled
				Dialer: slack.Dialer(mini.Dial),
			})
			t.Cleanup(func() { _ = rdb.Close() })
			doneOnce(t, 1_000, redisstore.New(rdb))
		})
	})
}

func doneOnce(t *testing.T, messages int, store idempotency.Store) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	srv := sqstest.New(t, sqstest.LogLimit(0))
	q := srv.Queue(t, "orders", sqstest.DLQ(100))
	srv.Delay("", 5*time.Millisecond)
	srv.DropReply("", sqstest.Probability(0.02, 3))
	for i := range messages {
		key := sqstest.StringAttribute("key", fmt.Sprint(i))
		q.Send(t, "x", key)
		if i%10 == 0 {
			q.Send(t, "x", key)
		}
	}
	l := newFencedLedger()
	run := func() *process {
		p := newProcess(t, srv, "")
		once := idempotency.New(slowStore{processStore{p, ledgerStore{store, l}}}, idempotency.Config{
			Consumer: "orders", KeyAttribute: "key", SkipPayloadCheck: true, Process: new(idempotency.Process),
		})
		p.run(q, handle(func(ctx context.Context, _ *holdfast.Message) error {
			claim, _ := idempotency.FromContext(ctx)
			if !p.alive() {
				return ctx.Err()
			}
			l.begin(claim)
			time.Sleep(time.Duration(claim.Fence%400) * time.Millisecond)
			if !p.alive() {
				// Cut off and deaf to its context: it writes when someone else has
				// the key, and only the fence is there to stop it.
				time.Sleep(time.Minute)
			}
			l.write(claim)
			return nil
		}), consumer.Config{Concurrency: 20, Middleware: []holdfast.Middleware{once}})
		return p
	}
	workers := []*process{run(), run(), run()}
	crashes := 0
	for end := time.Now().Add(time.Hour); !empty(q)(); {
		time.Sleep(time.Duration(50+random.IntN(450)) * time.Millisecond)
		if crashes < max(20, messages/250) {
			i := random.IntN(len(workers))
			workers[i].die()
			workers[i] = run()
			crashes++
		}
		if time.Now().After(end) {
			t.Fatalf("not done after an hour: %+v", q.Depth())
		}
	}
	time.Sleep(2 * time.Minute) // for what is written late
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		t.Error(f)
	}
	for key, n := range l.effects {
		if n != 1 {
			t.Errorf("%s had %d effects", key, n)
		}
	}
	if len(l.effects) != messages {
		t.Errorf("%d keys had their effect, want %d", len(l.effects), messages)
	}
	if n := len(q.DLQ().Messages()); n != 0 {
		t.Errorf("%d messages were dead-lettered", n)
	}
	// A thousand messages are too few to be sure of a death in those 4 ms.
	if l.refused == 0 || (l.repeats == 0 && messages > 1000) {
		t.Error("no process died between effect and record, or none wrote late: the test shows less than it should")
	}
	t.Logf("%d crashes; %d runs repeated an effect that was not recorded yet, %d writes were refused by the fence", crashes, l.repeats, l.refused)
}
