package redisstore_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/leftout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestSentinelFailoverCancelsNoHandler: the master behind a real Sentinel dies under
// load and nobody takes over for longer than a lease lasts. Handlers whose messages SQS
// hides go on, nothing is received meanwhile, and when the replica is master all is done
// by the first receive. It takes over a minute of real time.
func TestSentinelFailoverCancelsNoHandler(t *testing.T) {
	t.Parallel()
	if os.Getenv("HOLDFAST_FAILOVER") == "" {
		leftout.Note(t, "HOLDFAST_FAILOVER is not set: a Sentinel failover of 40 s takes over a minute")
		t.SkipNow()
	}
	const away = 40 * time.Second
	p, err := startPair(away)
	if err != nil {
		t.Fatal(err)
	}
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders", sqstest.DLQ(10))

	var mu sync.Mutex // guards all below
	done := map[string]int{}
	var cancelled []string
	var down, up []time.Time
	at := func(list *[]time.Time) { mu.Lock(); defer mu.Unlock(); *list = append(*list, time.Now()) }
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for range 2 {
		rdb := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "orders", SentinelAddrs: []string{p.sentinel.addr},
			DialTimeout: time.Second, DialerRetries: 1, ReadTimeout: 500 * time.Millisecond, WriteTimeout: 500 * time.Millisecond,
			PoolTimeout: time.Second, ContextTimeoutEnabled: true,
		})
		t.Cleanup(func() { rdb.Close() })
		once := idempotency.New(redisstore.New(rdb), idempotency.Config{
			Consumer: "orders", Process: new(idempotency.Process),
			Hooks: idempotency.Hooks{
				StoreDown: func(idempotency.StoreDownEvent) { at(&down) },
				StoreUp:   func(idempotency.StoreUpEvent) { at(&up) },
			},
		})
		c, err := consumer.New(srv.SQS(), q.URL, holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
			d, err := time.ParseDuration(m.Body)
			if err != nil {
				return err
			}
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				cancelled = append(cancelled, m.Body+": "+context.Cause(ctx).Error())
				return ctx.Err()
			}
			done[m.ID]++
			return nil
		}), consumer.Config{Concurrency: 60, Middleware: []holdfast.Middleware{once}})
		if err != nil {
			t.Fatal(err)
		}
		workers.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Errorf("Run returned %v", err)
			}
		})
	}

	// Handlers that are at it before, through and after the outage, and load beside them.
	var ids []string
	for range 40 {
		ids = append(ids, q.Send(t, "62s"))
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; time.Since(began) < away+15*time.Second; n++ {
		if n == 25 { // after 5 s
			p.master.stop()
		}
		ids = append(ids, q.Send(t, "1s"))
		<-tick.C
	}
	err = eventually(60*time.Second, func(context.Context) error {
		if d := q.Depth(); d.Visible+d.InFlight > 0 {
			return context.DeadlineExceeded
		}
		return nil
	})
	stop()
	workers.Wait()
	if err != nil {
		t.Errorf("the queue is not drained: %+v", q.Depth())
	}
	mu.Lock()
	defer mu.Unlock()
	if len(cancelled) > 0 {
		t.Errorf("%d handlers were cancelled, the first %s", len(cancelled), cancelled[0])
	}
	burned := 0
	for _, id := range ids {
		if done[id] != 1 {
			t.Errorf("%s was done %d times", id, done[id])
		}
		if q.Receives(id) != 1 {
			burned++
		}
	}
	if burned > 0 || q.DLQ().Depth().Visible > 0 {
		t.Errorf("%d of %d messages took more than one receive, %d are dead-lettered", burned, len(ids), q.DLQ().Depth().Visible)
	}
	if len(down) != 2 || len(up) != 2 || up[0].Sub(down[0]) < away-5*time.Second {
		t.Fatalf("the store was away from %v to %v for the two workers, want once each for about %v", down, up, away)
	}
	t.Logf("%d messages; the store was away for %v", len(ids), up[0].Sub(down[0]).Round(time.Second))
}
