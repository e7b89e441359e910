package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitsHeedContexts: who waits for an answer looks at its context from the start
// where that ends soon, and else once the answer takes long, wherever its call is.
func TestWaitsHeedContexts(t *testing.T) {
	t.Parallel()
	// claim makes a claim whose context is cancelled after a while, and returns how
	// long it took.
	claim := func(t *testing.T, b *bubble, cancelAfter time.Duration) time.Duration {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer time.AfterFunc(cancelAfter, cancel).Stop()
		begun := time.Now()
		if _, err := b.Claim(ctx, request("cancelled", "t")); !errors.Is(err, context.Canceled) {
			t.Errorf("returned %v after %v, want Canceled", err, time.Since(begun))
		}
		return time.Since(begun)
	}
	for name, c := range map[string]struct{ cancel, want time.Duration }{
		"a call under way heeds its end":               {60 * time.Millisecond, 60 * time.Millisecond},
		"a call under way heeds an early end in 50 ms": {10 * time.Millisecond, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, b *bubble) {
				b.link.hole.Store(true)
				if took := claim(t, b, c.cancel); took != c.want {
					t.Errorf("took %v, want %v", took, c.want)
				}
			})
		})
	}
	t.Run("a deadline that is near is kept to the millisecond", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.hole.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if _, err := b.Claim(ctx, request("near", "t")); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 20*time.Millisecond {
				t.Errorf("returned %v after %v, want DeadlineExceeded after 20ms", err, time.Since(begun))
			}
		})
	})
	t.Run("what is used again after a late answer heeds its end as before", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.latency = 100 * time.Millisecond
			for n := range 10 { // some are thrown away in between
				if _, err := b.Claim(t.Context(), request(fmt.Sprint("k", n), "t")); err != nil {
					t.Fatal(err)
				}
			}
			b.link.hole.Store(true)
			if took := claim(t, b, 60*time.Millisecond); took != 60*time.Millisecond {
				t.Errorf("took %v, want 60ms", took)
			}
		})
	})
	t.Run("after a round trip that took long the next is given its time", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.latency = 100 * time.Millisecond
			if _, err := b.Claim(t.Context(), request("k", "t")); err != nil {
				t.Fatal(err)
			}
			b.link.hole.Store(true)
			if took := claim(t, b, 10*time.Millisecond); took != 50*time.Millisecond {
				t.Errorf("took %v, want 50ms", took)
			}
		})
	})
	t.Run("a call that one batch had no room for heeds its end", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.latency = 10 * time.Millisecond
			keys := make([]string, 300)
			for i := range keys {
				keys[i] = fmt.Sprint("k", i)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { b.Poll(t.Context(), keys[:1]) })
			synctest.Wait()
			wg.Go(func() { b.Poll(t.Context(), keys) }) // in batches of 128 from 10 ms on
			synctest.Wait()
			if took := claim(t, b, 15*time.Millisecond); took != 15*time.Millisecond {
				t.Errorf("took %v, want 15ms", took)
			}
		})
	})
}
