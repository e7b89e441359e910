package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/slack"
)

// link is a network that a test can slow down and take away.
type link struct {
	dial    func() (net.Conn, error)
	latency time.Duration // of each request
	hole    atomic.Bool   // requests get lost
	cuts    atomic.Int64  // so many requests arrive and their replies do not
}

func (l *link) Dial(context.Context, string, string) (net.Conn, error) {
	c, err := l.dial()
	if err != nil {
		return nil, err
	}
	return &linked{Conn: slack.Wrap(c), link: l}, nil
}

type linked struct {
	net.Conn
	link *link
	cut  atomic.Bool
}

func (c *linked) Write(p []byte) (int, error) {
	if c.link.hole.Load() {
		return len(p), nil
	}
	if c.link.latency > 0 {
		time.Sleep(c.link.latency)
	}
	if strings.Contains(string(p), "eval") && c.link.cuts.Add(-1) >= 0 {
		c.cut.Store(true)
	}
	return c.Conn.Write(p)
}

// Read lets the server answer, and then loses the answer with the connection.
func (c *linked) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.cut.Load() {
		c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// bubble is a store on a miniredis behind a link, in virtual time.
type bubble struct {
	*redisstore.Store
	link *link
	mini *miniredis.Miniredis
}

func inBubble(t *testing.T, adjust func(*redis.Options), f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mini := miniredis.NewMiniRedis()
		l := &link{dial: mini.Dial}
		o := &redis.Options{
			Addr:                  "127.0.0.1:6379", // never dialled; see TestStoreInBubble
			Dialer:                l.Dial,
			DialTimeout:           time.Second,
			ReadTimeout:           500 * time.Millisecond,
			WriteTimeout:          500 * time.Millisecond,
			PoolTimeout:           time.Second,
			ContextTimeoutEnabled: true,
		}
		if adjust != nil {
			adjust(o)
		}
		rdb := redis.NewClient(o)
		// synctest.Test fails where a goroutine is left behind.
		defer func() {
			rdb.Close()
			mini.Close()
		}()
		b := &bubble{redisstore.New(rdb), l, mini}
		if err := b.Start(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		f(t, b)
	})
}

func TestLane(t *testing.T) {
	t.Parallel()
	t.Run("a lone call takes one round trip at once", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.latency = 10 * time.Millisecond
			for n := range 3 {
				before, sent := b.Stats(), time.Now()
				if _, err := b.Claim(t.Context(), request(fmt.Sprint("k", n), "t")); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(sent); took != 10*time.Millisecond {
					t.Errorf("call %d took %v, want one latency of 10ms", n, took)
				}
				after := b.Stats()
				if after.RoundTrips != before.RoundTrips+1 || after.Ops != before.Ops+1 {
					t.Errorf("the counts went from %+v to %+v", before, after)
				}
			}
		})
	})
	t.Run("calls that come during a round trip share the next", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.latency = 10 * time.Millisecond
			before, begun := b.Stats(), time.Now()
			var wg sync.WaitGroup
			for n := range 101 {
				wg.Go(func() {
					if n > 0 {
						time.Sleep(time.Millisecond) // the first is under way
					}
					if _, err := b.Claim(t.Context(), request(fmt.Sprint("k", n), "t")); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			after := b.Stats()
			if took := time.Since(begun); took != 20*time.Millisecond || after.RoundTrips != before.RoundTrips+2 {
				t.Errorf("101 calls took %v and %d round trips, want 20ms and 2", took, after.RoundTrips-before.RoundTrips)
			}
		})
	})
	t.Run("a batch is bounded", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.latency = 10 * time.Millisecond
			keys := make([]string, 300)
			for i := range keys {
				keys[i] = fmt.Sprint("k", i)
			}
			before := b.Stats()
			var wg sync.WaitGroup
			wg.Go(func() { b.Poll(t.Context(), keys[:1]) })
			synctest.Wait() // it is under way, and all others queue up behind it
			if _, err := b.Poll(t.Context(), keys); err != nil {
				t.Fatal(err)
			}
			wg.Wait()
			after := b.Stats()
			if trips := after.RoundTrips - before.RoundTrips; trips != 1+3 {
				t.Errorf("300 calls behind another took %d round trips, want 3 of at most 128", trips-1)
			}
		})
	})
	t.Run("each call keeps to its own context", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.hole.Store(true)
			var wg sync.WaitGroup
			wg.Go(func() {
				begun := time.Now()
				_, err := b.Claim(t.Context(), request("patient", "t"))
				if !errors.Is(err, idempotency.ErrUnavailable) || time.Since(begun) > time.Second {
					t.Errorf("after %v returned %v, want ErrUnavailable within the client's timeouts", time.Since(begun), err)
				}
			})
			synctest.Wait() // the others queue up behind it
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				begun := time.Now()
				_, err := b.Claim(ctx, request("timeout", "t"))
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, idempotency.ErrUnavailable) || time.Since(begun) != 100*time.Millisecond {
					t.Errorf("after %v returned %v, want DeadlineExceeded and ErrUnavailable after 100ms", time.Since(begun), err)
				}
			})
			canceled := func(begin, after, want time.Duration) {
				wg.Go(func() {
					time.Sleep(begin)
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(after, cancel)
					begun := time.Now()
					_, err := b.Claim(ctx, request("cancel", "t"))
					if !errors.Is(err, context.Canceled) || errors.Is(err, idempotency.ErrUnavailable) || time.Since(begun) != want {
						t.Errorf("begun after %v and cancelled %v later: after %v returned %v, want Canceled alone after %v",
							begin, after, time.Since(begun), err, want)
					}
				})
			}
			canceled(0, 60*time.Millisecond, 60*time.Millisecond)
			canceled(0, 10*time.Millisecond, 50*time.Millisecond) // contexts are looked at from then on
			canceled(20*time.Millisecond, 5*time.Millisecond, 30*time.Millisecond)
			canceled(70*time.Millisecond, 5*time.Millisecond, 5*time.Millisecond)
			wg.Wait()
			b.link.hole.Store(false)
			if _, err := b.Claim(t.Context(), request("patient", "t")); err != nil {
				t.Errorf("with the network back: %v", err)
			}
			if b.mini.Exists("cancel") {
				t.Error("a call that nobody waits for was sent")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			before := b.Stats()
			if _, err := b.Claim(ctx, request("late", "t")); !errors.Is(err, context.Canceled) || b.Stats() != before {
				t.Errorf("with a context that has ended: %v; counts %+v, want %+v", err, b.Stats(), before)
			}
		})
	})
	t.Run("a client that does not come back is given up", func(t *testing.T) {
		t.Parallel()
		deaf := func(o *redis.Options) {
			o.ContextTimeoutEnabled, o.ReadTimeout = false, 30*time.Second
		}
		inBubble(t, deaf, func(t *testing.T, b *bubble) {
			b.link.hole.Store(true)
			begun := time.Now()
			for n := range 4 {
				sent := time.Now()
				_, err := b.Claim(t.Context(), request("k", "t"))
				if took := time.Since(sent); !errors.Is(err, idempotency.ErrUnavailable) || took != 1125*time.Millisecond {
					t.Errorf("call %d returned %v after %v, want ErrUnavailable after 1.125s", n, err, took)
				}
			}
			// With four of them hanging no more are begun.
			sent := time.Now()
			_, err := b.Claim(t.Context(), request("k", "t"))
			if !errors.Is(err, idempotency.ErrUnavailable) || time.Since(sent) != 0 || b.Stats().GivenUp != 4 {
				t.Errorf("returned %v after %v with %+v, want ErrUnavailable at once", err, time.Since(sent), b.Stats())
			}
			b.link.hole.Store(false)
			time.Sleep(31*time.Second - time.Since(begun)) // the first has come back
			if reply, err := b.Claim(t.Context(), request("k", "t")); err != nil || reply.Class != idempotency.ClassNew {
				t.Errorf("with the network back: %v, %v", reply.Class, err)
			}
		})
	})
	t.Run("a call whose reply was lost with the connection is repeated", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			b.link.cuts.Store(1)
			r := request("k", "t")
			claim, err := b.Claim(t.Context(), r)
			if err != nil || claim.Class != idempotency.ClassOwn || claim.Attempts != 1 {
				t.Errorf("claimed %+v, %v, want its own claim, once", claim, err)
			}
			b.link.cuts.Store(2)
			if reply, err := b.Complete(t.Context(), complete(r, claim)); err != nil || reply.Class != idempotency.ClassOwn {
				t.Errorf("completed %v, %v", reply.Class, err)
			}
			b.link.cuts.Store(3) // more often than it is repeated
			if _, err := b.Claim(t.Context(), r); !errors.Is(err, idempotency.ErrUnavailable) {
				t.Errorf("returned %v, want ErrUnavailable", err)
			}
			if got := b.Stats().Resent; got != 1+2+2 {
				t.Errorf("%d calls were sent again, want 5", got)
			}
		})
	})
	t.Run("a store works without Start, in one more round trip per script", func(t *testing.T) {
		t.Parallel()
		inBubble(t, nil, func(t *testing.T, b *bubble) {
			rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", Dialer: b.link.Dial})
			defer rdb.Close()
			if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			store := redisstore.New(rdb)
			r := request("k", "t")
			claim, err := store.Claim(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Claim(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Complete(t.Context(), complete(r, claim)); err != nil {
				t.Fatal(err)
			}
			if s := store.Stats(); s.RoundTrips != 5 || s.Resent != 2 {
				t.Errorf("counts are %+v, want 5 round trips for 3 calls of 2 scripts", s)
			}
		})
	})
}

// TestScriptsForgottenUnderLoad flushes the scripts again and again.
func TestScriptsForgottenUnderLoad(t *testing.T) {
	t.Parallel()
	p, err := startProcess(false)
	if err != nil {
		t.Fatal(err)
	}
	rdb := p.client()
	defer rdb.Close()
	store := slowly(rdb)
	prefix := "flushed:" + rand.Text() + ":"
	l := startLoad(t, store, func(n int64) string { return fmt.Sprint(prefix, n) })
	for range 20 {
		l.gains(20)
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Error(err)
		}
	}
	l.stop()
	if n := l.failures.Load(); n > 0 || store.Stats().Resent == 0 {
		t.Errorf("%d calls failed; counts are %+v", n, store.Stats())
	}
	allDone(t, store, l.completed)
}
