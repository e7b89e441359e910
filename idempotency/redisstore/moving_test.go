package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// load claims, extends and completes keys, each under a new name, by some workers
// until stop is called. Each call is repeated until it is answered, as the
// middleware does.
type load struct {
	t     *testing.T
	store *redisstore.Store
	key   func(n int64) string

	n        atomic.Int64
	done     atomic.Int64
	failures atomic.Int64
	wg       sync.WaitGroup
	stopped  chan struct{}

	mu        sync.Mutex
	completed []idempotency.ClaimRequest
}

func startLoad(t *testing.T, store *redisstore.Store, key func(n int64) string) *load {
	l := &load{t: t, store: store, key: key, stopped: make(chan struct{})}
	for range 8 {
		l.wg.Go(l.work)
	}
	return l
}

func (l *load) stop() {
	close(l.stopped)
	l.wg.Wait()
}

func (l *load) work() {
	for {
		select {
		case <-l.stopped:
			return
		default:
		}
		l.one(l.n.Add(1))
	}
}

func (l *load) one(n int64) {
	r := request(l.key(n), rand.Text())
	var claim idempotency.ClaimReply
	if !l.repeat("claim", func(ctx context.Context) (err error) {
		claim, err = l.store.Claim(ctx, r)
		return err
	}) {
		return
	}
	if claim.Class != idempotency.ClassNew && claim.Class != idempotency.ClassOwn {
		l.t.Errorf("claim of the fresh key %s answered %v", r.Key, claim.Class)
		return
	}
	extend := idempotency.ExtendRequest{
		Key: r.Key, Token: r.Token, Lease: r.Lease, TTL: r.TTL, PayloadHash: r.PayloadHash, Life: r.Life,
		Fence: claim.Fence, Attempts: claim.Attempts, Hard: claim.Hard, LastDeadline: claim.Deadline,
	}
	if !l.repeat("extend", func(ctx context.Context) error {
		reply, err := l.store.Extend(ctx, extend)
		if err == nil && reply.Class != idempotency.ClassOwn && reply.Class != idempotency.ClassRestored {
			l.t.Errorf("extension of %s answered %v", r.Key, reply.Class)
		}
		return err
	}) {
		return
	}
	if l.repeat("complete", func(ctx context.Context) error {
		reply, err := l.store.Complete(ctx, complete(r, claim))
		if err == nil && reply.Class != idempotency.ClassOwn && reply.Class != idempotency.ClassRestored {
			l.t.Errorf("completion of %s answered %v", r.Key, reply.Class)
		}
		return err
	}) {
		l.done.Add(1)
		l.mu.Lock()
		l.completed = append(l.completed, r)
		l.mu.Unlock()
	}
}

// repeat makes a call until it is answered. What a store that moves answers
// meanwhile must be an outage.
func (l *load) repeat(what string, call func(context.Context) error) bool {
	err := eventually(60*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err := call(ctx)
		if err != nil {
			l.failures.Add(1)
			if !errors.Is(err, idempotency.ErrUnavailable) {
				return fatal{err}
			}
		}
		return err
	})
	if err != nil {
		l.t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

// gains waits until n more keys were completed.
func (l *load) gains(n int64) {
	l.t.Helper()
	want := l.done.Load() + n
	err := eventually(60*time.Second, func(context.Context) error {
		if l.done.Load() < want {
			return fmt.Errorf("%d of %d keys are completed", l.done.Load(), want)
		}
		return nil
	})
	if err != nil {
		l.t.Error(err)
	}
}

// allDone wants all completed keys to be so still.
func allDone(t *testing.T, store *redisstore.Store, completed []idempotency.ClaimRequest) {
	t.Helper()
	lost := 0
	for chunk := range slices.Chunk(completed, 500) {
		var keys []string
		for _, r := range chunk {
			keys = append(keys, r.Key)
		}
		snapshots, err := store.Poll(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range snapshots {
			if s.State != idempotency.StateCompleted {
				lost++
			}
		}
	}
	if lost > 0 || len(completed) == 0 {
		t.Errorf("%d of %d completed keys are so no more", lost, len(completed))
	}
}

// TestFailover kills the master under load. What a WAIT has covered survives.
func TestFailover(t *testing.T) {
	t.Parallel()
	p, err := startPair(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	prefix := "failover:" + rand.Text() + ":"
	name := func(n int64) string { return fmt.Sprint(prefix, n) }

	durable := redisstore.NewWithOptions(p.client(t), redisstore.Options{
		Timeout: 20 * time.Second, Durability: redisstore.Durability{Replicas: 1, Timeout: 10 * time.Second},
	})
	safe := startLoad(t, durable, func(n int64) string { return name(-n) })
	safe.gains(50)
	safe.stop()

	store := redisstore.NewWithOptions(p.client(t), redisstore.Options{Timeout: 10 * time.Second})
	held, err := store.Claim(t.Context(), request(prefix+"held", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Release(t.Context(), idempotency.ReleaseRequest{
		Key: prefix + "held", Token: "a", Fence: held.Fence, TTL: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	l := startLoad(t, store, name)
	l.gains(50)
	p.master.stop()
	watch := redis.NewSentinelClient(&redis.Options{Addr: p.sentinel.addr})
	defer watch.Close()
	if err := eventually(20*time.Second, func(ctx context.Context) error {
		addr, err := watch.GetMasterAddrByName(ctx, "orders").Result()
		if err == nil && addr[1] == fmt.Sprint(p.master.port) {
			// It would find out by itself in a minute.
			err = watch.Failover(ctx, "orders").Err()
			if err == nil {
				err = errors.New("the failover is under way")
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	l.gains(50)
	l.stop()

	allDone(t, store, safe.completed)
	again, err := store.Claim(t.Context(), request(prefix+"held", "b"))
	if err != nil || !again.Claimed() || again.Fence <= held.Fence {
		t.Errorf("claimed again: %+v, %v; the fence was %d", again, err, held.Fence)
	}
	// The new master has no replica.
	lonely := redisstore.NewWithOptions(p.client(t), redisstore.Options{
		Timeout: 20 * time.Second, Durability: redisstore.Durability{Replicas: 1, Timeout: 10 * time.Millisecond},
	})
	_, err = lonely.Release(t.Context(), idempotency.ReleaseRequest{
		Key: prefix + "held", Token: "b", Fence: again.Fence, TTL: time.Hour,
	})
	if !errors.Is(err, redisstore.ErrNotReplicated) || !errors.Is(err, idempotency.ErrUnavailable) {
		t.Errorf("a release that no replica has returned %v, want ErrNotReplicated and ErrUnavailable", err)
	}
}

// TestSlotMigration moves a slot under load, to another master and then to one that
// had none: keys answer ASK one after the other while they move, and MOVED when all
// have. No call fails.
func TestSlotMigration(t *testing.T) {
	t.Parallel()
	c, err := startCluster(3)
	if err != nil {
		t.Fatal(err)
	}
	rdb := c.client(t)
	store := slowly(rdb)
	if err := store.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	tag := "{" + rand.Text() + "}"
	l := startLoad(t, store, func(n int64) string { return fmt.Sprint(tag, n) })
	l.gains(100)

	slot := int(rdb.ClusterKeySlot(t.Context(), tag).Val())
	from := c.nodes[slot*3/16384]
	to := c.nodes[(slot*3/16384+1)%3]
	c.migrate(t, slot, from, to, l)
	l.gains(100)
	known := store.Stats().Redirected
	if known == 0 {
		t.Error("no call was redirected")
	}
	fresh, err := c.addNode()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.settled(); err != nil {
		t.Fatal(err)
	}
	c.migrate(t, slot, to, fresh, l)
	l.gains(100)
	l.stop()
	if store.Stats().Redirected == known {
		t.Error("no call was redirected to the node that had no slot")
	}
	if n := l.failures.Load(); n > 0 {
		t.Errorf("%d calls failed", n)
	}
	allDone(t, store, l.completed)
}

// migrate moves a slot in the way of redis-cli, while l goes on.
func (c *cluster) migrate(t *testing.T, slot int, from, to *process, l *load) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	source, target := from.client(), to.client()
	defer source.Close()
	defer target.Close()
	sourceID, targetID := source.ClusterMyID(ctx).Val(), target.ClusterMyID(ctx).Val()
	must(target.Do(ctx, "cluster", "setslot", slot, "importing", sourceID).Err())
	must(source.Do(ctx, "cluster", "setslot", slot, "migrating", targetID).Err())
	l.gains(50) // new keys go to the target by ASK, those that are here stay
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 100).Result()
		must(err)
		if len(keys) == 0 {
			break
		}
		args := []any{"migrate", "127.0.0.1", to.port, "", 0, 5000, "keys"}
		for _, k := range keys {
			args = append(args, k)
		}
		must(source.Do(ctx, args...).Err())
	}
	l.gains(50)
	must(target.Do(ctx, "cluster", "setslot", slot, "node", targetID).Err())
	must(source.Do(ctx, "cluster", "setslot", slot, "node", targetID).Err())
	must(c.agree(slot, to))
}

// agree waits until all nodes know who has a slot.
func (c *cluster) agree(slot int, owner *process) error {
	return eventually(20*time.Second, func(ctx context.Context) error {
		for _, p := range c.nodes {
			rdb := p.client()
			shards, err := rdb.ClusterShards(ctx).Result()
			rdb.Close()
			if err != nil {
				return err
			}
			for _, shard := range shards {
				for _, s := range shard.Slots {
					if s.Start <= int64(slot) && int64(slot) <= s.End && shard.Nodes[0].Port != int64(owner.port) {
						return fmt.Errorf("%s believes that port %d has slot %d", p.addr, shard.Nodes[0].Port, slot)
					}
				}
			}
		}
		return nil
	})
}
