package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/slack"
	"github.com/holdfast-go/holdfast/sqstest"
)

// stores are those that the proofs about losers and outages run on. Each makes a
// fresh one.
var stores = map[string]func(t *testing.T) idempotency.Store{
	"memory": func(*testing.T) idempotency.Store { return idempotency.NewMemoryStore() },
	"miniredis": func(t *testing.T) idempotency.Store {
		t.Helper()
		return redisstore.New(miniRedis(t))
	},
}

// miniRedis returns a client of a Redis in this process, for bubbles.
func miniRedis(t *testing.T) *redis.Client {
	t.Helper()
	mini := miniredis.NewMiniRedis()
	rdb := redis.NewClient(&redis.Options{
		Addr:   "127.0.0.1:6379", // never dialled
		Dialer: slack.Dialer(mini.Dial),
	})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// onEachStore runs f in a bubble for each store.
func onEachStore(t *testing.T, name string, f func(t *testing.T, store idempotency.Store)) {
	t.Helper()
	for which, fresh := range stores {
		t.Run(name+", in "+which, func(t *testing.T) {
			inBubble(t, func(t *testing.T) { f(t, fresh(t)) })
		})
	}
}

// countedStore counts the calls of one process, and can be taken away from it.
type countedStore struct {
	idempotency.Store
	mu    sync.Mutex // guards all below
	calls map[string]int
	down  bool
}

var errStoreDown = fmt.Errorf("%w: connection refused", idempotency.ErrUnavailable)

func (s *countedStore) call(ctx context.Context, op string) error {
	s.mu.Lock()
	if s.calls == nil {
		s.calls = make(map[string]int)
	}
	s.calls[op]++
	n, down := s.calls[op], s.down
	s.mu.Unlock()
	if !down {
		return nil
	}
	if n%2 == 0 { // half of them hang
		<-ctx.Done()
		return fmt.Errorf("%w: %w", idempotency.ErrUnavailable, ctx.Err())
	}
	return errStoreDown
}

func (s *countedStore) set(down bool) { s.mu.Lock(); defer s.mu.Unlock(); s.down = down }

// all counts the calls of the protocol, those named left out.
func (s *countedStore) all(but ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for op, c := range s.calls {
		n += c
		for _, b := range but {
			if op == b {
				n -= c
			}
		}
	}
	return n
}

func (s *countedStore) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	if err := s.call(ctx, "claim"); err != nil {
		return idempotency.ClaimReply{}, err
	}
	return s.Store.Claim(ctx, r)
}

func (s *countedStore) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	if err := s.call(ctx, "extend"); err != nil {
		return idempotency.ExtendReply{}, err
	}
	return s.Store.Extend(ctx, r)
}

func (s *countedStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	if err := s.call(ctx, "complete"); err != nil {
		return idempotency.CompleteReply{}, err
	}
	return s.Store.Complete(ctx, r)
}

func (s *countedStore) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	if err := s.call(ctx, "release"); err != nil {
		return idempotency.ReleaseReply{}, err
	}
	return s.Store.Release(ctx, r)
}

func (s *countedStore) Poll(ctx context.Context, keys []string) ([]idempotency.Snapshot, error) {
	if err := s.call(ctx, "poll"); err != nil {
		return nil, err
	}
	return s.Store.Poll(ctx, keys)
}

func (s *countedStore) Probe(ctx context.Context) error {
	if err := s.call(ctx, "probe"); err != nil {
		return err
	}
	return s.Store.Probe(ctx)
}

// worker is one of several processes that share a store.
type worker struct {
	*running
	store *countedStore
	log   *effects // what it was told

	mu       sync.Mutex  // guards all below
	receives []time.Time // when it issued them
	down, up []time.Time // when its gate closed and opened
}

// Do implements sqs.HTTPClient for the worker's own client.
func (w *worker) do(srv *sqstest.Server) tap {
	return func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".ReceiveMessage") {
			w.mu.Lock()
			w.receives = append(w.receives, time.Now())
			w.mu.Unlock()
		}
		return srv.HTTPClient().Do(req)
	}
}

type tap func(*http.Request) (*http.Response, error)

func (d tap) Do(req *http.Request) (*http.Response, error) { return d(req) }

// startWorker runs h in a process of its own, with the idempotency middleware on store.
func startWorker(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, store idempotency.Store, h holdfast.Handler, cfg consumer.Config, once idempotency.Config) *worker {
	t.Helper()
	w := &worker{store: &countedStore{Store: store}, log: &effects{}}
	now := func(list *[]time.Time) {
		w.mu.Lock()
		defer w.mu.Unlock()
		*list = append(*list, time.Now())
	}
	once.Consumer = "orders"
	once.Hooks = idempotency.Hooks{
		StoreDown: func(idempotency.StoreDownEvent) { now(&w.down) },
		StoreUp:   func(idempotency.StoreUpEvent) { now(&w.up) },
		Lost:      func(e idempotency.LostEvent) { w.log.add("lost " + e.Message.Body) },
		Parked: func(e idempotency.ParkedEvent) {
			switch {
			case e.Here:
				w.log.add("parked here")
			case errors.Is(e.Why, idempotency.ErrBusy):
				w.log.add("parked elsewhere")
			default:
				w.log.add("parked for the store")
			}
		},
	}
	once.Process = new(idempotency.Process)
	cfg.Middleware = []holdfast.Middleware{idempotency.New(w.store, once)}
	client := srv.SQS(func(o *sqs.Options) { o.HTTPClient = w.do(srv) })
	w.running = startWith(t, client, q, h, cfg)
	return w
}

var byKey = idempotency.Config{KeyAttribute: "key", SkipPayloadCheck: true}

// key gives a message its idempotency key.
func key(k string) sqstest.SendOption { return sqstest.StringAttribute("key", k) }

func TestNoBurnByDuplicates(t *testing.T) {
	t.Parallel()
	onEachStore(t, "a handler of 30 min and 5 duplicates in 3 other processes cost one receive each", func(t *testing.T, store idempotency.Store) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		var r runLog
		h := r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 30*time.Minute) })
		ids := []string{q.Send(t, "x", key("k"))}
		startWorker(t, srv, q, store, h, consumer.Config{}, byKey)
		until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
		others := make([]*worker, 3)
		for i := range others {
			others[i] = startWorker(t, srv, q, store, h, consumer.Config{Concurrency: 2}, byKey)
		}
		for range 5 {
			ids = append(ids, q.Send(t, "x", key("k")))
		}
		time.Sleep(29 * time.Minute)
		if got := q.Depth(); got != (sqstest.Depth{InFlight: 6}) {
			t.Errorf("the queue is %+v, want all held", got)
		}
		until(t, 3*time.Minute, "all is deleted", empty(q))
		for i, id := range ids {
			if n := q.Receives(id); n != 1 {
				t.Errorf("message %d was received %d times", i, n)
			}
		}
		if n := len(r.all()); n != 1 || len(q.DLQ().Messages()) != 0 {
			t.Errorf("%d runs, %d dead-lettered", n, len(q.DLQ().Messages()))
		}
		for i, w := range others {
			w.store.mu.Lock()
			if claims, polls := w.store.calls["claim"], w.store.calls["poll"]; claims > 1 || polls > 30*60/6 {
				t.Errorf("process %d: %d claims, %d polls for one key", i, claims, polls)
			}
			w.store.mu.Unlock()
		}
	})
	onEachStore(t, "5 more deliveries of the message itself to 3 other processes cost one receive each", func(t *testing.T, store idempotency.Store) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		var r runLog
		h := r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 30*time.Minute) })
		// Whoever holds the message loses it, five times, and its next delivery goes
		// to a process that has room.
		lost := srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(5))
		id := q.Send(t, "x")
		for range 4 {
			startWorker(t, srv, q, store, h, consumer.Config{Concurrency: 1, Prefetch: 1}, idempotency.Config{})
		}
		time.Sleep(20 * time.Minute)
		if got := lost.Hits(); got != 5 {
			t.Fatalf("lost %d times, want 5", got)
		}
		until(t, 15*time.Minute, "it is deleted", empty(q))
		if n := q.Receives(id); n != 6 {
			t.Errorf("received %d times, want 1 and 5", n)
		}
		if n := len(r.all()); n != 1 || len(q.DLQ().Messages()) != 0 {
			t.Errorf("%d runs, %d dead-lettered", n, len(q.DLQ().Messages()))
		}
	})
	onEachStore(t, "duplicates wait on beyond a crash of the holder, and one of them takes over here", func(t *testing.T, store idempotency.Store) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		var r, s runLog
		dying := newProcess(t, srv, "")
		first := q.Send(t, "x", key("k"))
		once := byKey
		once.Consumer, once.Process = "orders", new(idempotency.Process)
		dying.run(q, r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, time.Hour) }),
			consumer.Config{Concurrency: 1, Prefetch: 1, Middleware: []holdfast.Middleware{idempotency.New(processStore{dying, store}, once)}})
		until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
		startWorker(t, srv, q, store, s.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, time.Minute) }), consumer.Config{}, byKey)
		second := q.Send(t, "x", key("k"))
		time.Sleep(2 * time.Minute)
		dying.die()
		died := time.Now()
		until(t, 5*time.Minute, "all is deleted", empty(q))
		if run := s.all()[0]; run.began.Sub(died) > 31*time.Second || len(s.all()) != 1 {
			t.Errorf("%d runs, the first %v after the crash", len(s.all()), run.began.Sub(died))
		}
		if a, b := q.Receives(first), q.Receives(second); a != 2 || b != 1 {
			t.Errorf("received %d and %d times, want 2 (by the crash) and 1", a, b)
		}
	})
	t.Run("a duplicate of what runs here costs no call of the store; a redelivery hands its receipt to the runner", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(20))
			twice := srv.Duplicate("orders", sqstest.Times(1))
			q.Send(t, "x", key("k"))
			var r runLog
			w := startWorker(t, srv, q, idempotency.NewMemoryStore(), r.of(func(ctx context.Context, _ *holdfast.Message) error {
				return workFor(ctx, 30*time.Minute)
			}), consumer.Config{}, byKey)
			time.Sleep(time.Second)
			for range 5 {
				q.Send(t, "x", key("k"))
			}
			until(t, time.Minute, "all wait", func() bool { return w.log.count("parked here") == 5 })
			// Of one run: its claim, its completion, and an extension each 15 s.
			until(t, time.Hour, "all is deleted", empty(q))
			if n := w.store.all("extend"); n != 2 || len(r.all()) != 1 {
				t.Errorf("%d calls of the store beside extensions for %d runs, want 2 for 1", n, len(r.all()))
			}
			// The first receipt is stale: only the newer one deletes.
			if twice.Hits() != 1 || len(q.Deleted()) != 6 || w.Stats().LeasesLost != 0 {
				t.Errorf("%d redeliveries, %d deleted, %+v", twice.Hits(), len(q.Deleted()), w.Stats())
			}
		})
	})
	onEachStore(t, "where no more can be parked a duplicate stays away for longer each time", func(t *testing.T, store idempotency.Store) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		var r runLog
		h := r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, time.Hour) })
		q.Send(t, "x", key("k"))
		startWorker(t, srv, q, store, h, consumer.Config{Concurrency: 1, Prefetch: 1}, byKey)
		until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
		startWorker(t, srv, q, store, h, consumer.Config{MaxParked: -1}, byKey)
		id := q.Send(t, "x", key("k"))
		time.Sleep(59 * time.Minute)
		n := q.Receives(id)
		if n < 3 || n > 8 {
			t.Errorf("received %d times in an hour, want a logarithm of its 120 leases", n)
		}
		until(t, 2*time.Hour, "all is deleted", empty(q))
	})
	onEachStore(t, "a stop gives parked messages back at once, for another process to park", func(t *testing.T, store idempotency.Store) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		var r runLog
		h := r.of(func(ctx context.Context, _ *holdfast.Message) error { return workFor(ctx, 10*time.Minute) })
		q.Send(t, "x", key("k"))
		startWorker(t, srv, q, store, h, consumer.Config{Concurrency: 1, Prefetch: 1}, byKey)
		until(t, time.Second, "it runs", func() bool { return len(r.all()) == 1 })
		id := q.Send(t, "x", key("k"))
		const restarts = 4
		for range restarts {
			w := startWorker(t, srv, q, store, h, consumer.Config{}, byKey)
			until(t, time.Second, "it is parked", func() bool { return w.Stats().Parked == 1 })
			time.Sleep(time.Minute)
			if err := w.stop(); err != nil {
				t.Error(err)
			}
			if got := q.Depth(); got != (sqstest.Depth{InFlight: 1, Visible: 1}) {
				t.Errorf("the queue is %+v, want the duplicate visible", got)
			}
		}
		startWorker(t, srv, q, store, h, consumer.Config{}, byKey)
		until(t, 10*time.Minute, "all is deleted", empty(q))
		if n := q.Receives(id); n != restarts+1 || len(r.all()) != 1 {
			t.Errorf("received %d times by %d processes, %d runs", n, restarts+1, len(r.all()))
		}
	})
	onEachStore(t, "a parked head holds its FIFO group back, through a stop too", func(t *testing.T, store idempotency.Store) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(20))
		var order effects
		h := handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.GroupID == "long" {
				return workFor(ctx, 10*time.Minute)
			}
			order.add(m.Body)
			return nil
		})
		q.Send(t, "twin", sqstest.Group("long"), key("k"))
		startWorker(t, srv, q, store, h, consumer.Config{Concurrency: 1, Prefetch: 1}, byKey)
		until(t, time.Second, "it runs", func() bool { return q.Depth().InFlight == 1 })
		q.Send(t, "head", sqstest.Group("g"), key("k"))
		for i := range 3 {
			q.Send(t, fmt.Sprint(i), sqstest.Group("g"), key(fmt.Sprint(i)))
		}
		w := startWorker(t, srv, q, store, h, consumer.Config{}, byKey)
		until(t, time.Minute, "the head is parked", func() bool { return w.Stats().Parked == 1 })
		time.Sleep(time.Minute)
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		startWorker(t, srv, q, store, h, consumer.Config{}, byKey)
		time.Sleep(6 * time.Minute)
		if got := order.all(); len(got) != 0 {
			t.Errorf("%v ran before the head was settled", got)
		}
		until(t, 10*time.Minute, "all is deleted", empty(q))
		if diff := cmp.Diff([]string{"0", "1", "2"}, order.all()); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}
