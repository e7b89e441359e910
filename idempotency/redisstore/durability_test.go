package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// waitsFor returns a store whose completions and releases wait for a replica.
func waitsFor(t *testing.T, p *process, all bool) *redisstore.Store {
	o := options(nil)
	o.Addr, o.Dialer = p.addr, nil
	return redisstore.NewWithOptions(newClient(t, o), redisstore.Options{
		Timeout:    30 * time.Second,
		Durability: redisstore.Durability{Replicas: 1, Timeout: 20 * time.Millisecond, All: all},
	})
}

func TestDurability(t *testing.T) {
	t.Parallel()
	t.Run("completions and releases that too few replicas have are errors, claims are not", func(t *testing.T) {
		t.Parallel()
		store := waitsFor(t, start(t), false)
		r := request("k", "t")
		claim, err := store.Claim(t.Context(), r)
		if err != nil || claim.Class != idempotency.ClassNew {
			t.Fatalf("claimed %v, %v", claim.Class, err)
		}
		_, releaseErr := store.Release(t.Context(), idempotency.ReleaseRequest{Key: "k", Token: "t", Fence: claim.Fence, TTL: time.Hour})
		r.Token = "u"
		if claim, err = store.Claim(t.Context(), r); err != nil || claim.Class != idempotency.ClassTakeover {
			t.Fatalf("claimed %v, %v", claim.Class, err)
		}
		_, completeErr := store.Complete(t.Context(), complete(r, claim))
		for what, err := range map[string]error{"release": releaseErr, "completion": completeErr} {
			if !errors.Is(err, redisstore.ErrNotReplicated) || !errors.Is(err, idempotency.ErrUnavailable) {
				t.Errorf("the %s returned %v, want ErrNotReplicated and ErrUnavailable", what, err)
			}
		}
		// It was applied all the same, and says so when it is repeated.
		if reply, err := store.Claim(t.Context(), request("k", "v")); err != nil || reply.Class != idempotency.ClassDone {
			t.Errorf("claimed %v, %v", reply.Class, err)
		}
	})
	t.Run("with All, claims and extensions wait too", func(t *testing.T) {
		t.Parallel()
		store := waitsFor(t, start(t), true)
		if _, err := store.Claim(t.Context(), request("k", "t")); !errors.Is(err, redisstore.ErrNotReplicated) {
			t.Errorf("the claim returned %v, want ErrNotReplicated", err)
		}
		_, err := store.Poll(t.Context(), []string{"k"})
		if err != nil {
			t.Errorf("the poll returned %v", err)
		}
	})
	t.Run("in one batch only those fail that asked to wait", func(t *testing.T) {
		t.Parallel()
		store := waitsFor(t, start(t), false)
		prefix := rand.Text()
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				r := request(fmt.Sprint(prefix, n), "t")
				claim, err := store.Claim(t.Context(), r)
				if err != nil {
					t.Errorf("a claim returned %v", err)
					return
				}
				if _, err := store.Complete(t.Context(), complete(r, claim)); !errors.Is(err, redisstore.ErrNotReplicated) {
					t.Errorf("a completion returned %v", err)
				}
			})
		}
		wg.Wait()
		if s := store.Stats(); s.RoundTrips >= 100 {
			t.Errorf("nothing was batched: %+v", s)
		}
	})
	t.Run("a completion is repeated until a replica has it, before the message may be deleted", func(t *testing.T) {
		t.Parallel()
		master := start(t)
		store := waitsFor(t, master, false)
		var failed sync.Once
		waiting := make(chan struct{})
		mw := idempotency.New(store, idempotency.Config{Consumer: "orders", Hooks: idempotency.Hooks{
			StoreFailed: func(e idempotency.StoreFailedEvent) {
				if e.Op != "complete" || !errors.Is(e.Err, redisstore.ErrNotReplicated) {
					t.Errorf("%s failed with %v", e.Op, e.Err)
				}
				failed.Do(func() { close(waiting) })
			},
		}})
		runs := 0
		h := mw.Wrap(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
			runs++
			return nil
		}))
		settled := make(chan error, 1)
		go func() {
			settled <- h.Handle(t.Context(), &holdfast.Message{ID: "m-1", Body: "x", Queue: holdfast.Queue{Visibility: 30 * time.Second}})
		}()
		<-waiting
		select {
		case err := <-settled:
			t.Fatalf("settled with %v although no replica has the completion", err)
		default:
		}
		start(t, fmt.Sprintf("replicaof 127.0.0.1 %d", master.port))
		if err := <-settled; err != nil || runs != 1 {
			t.Errorf("settled with %v after %d runs, want nil after 1", err, runs)
		}
	})
}
