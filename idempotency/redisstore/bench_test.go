package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// cpu is what this process has used so far; the server is another process.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// floor claims and completes ten messages as one would who knew all of them
// beforehand: with one pipeline of go-redis for the claims and one for the
// completions, by the same scripts.
type floor struct {
	rdb             *redis.Client
	claim, complete *redis.Script
}

func newFloor(b *testing.B, rdb *redis.Client) *floor {
	f := &floor{rdb, redis.NewScript(redisstore.ClaimScript()), redis.NewScript(redisstore.CompleteScript())}
	for _, s := range []*redis.Script{f.claim, f.complete} {
		if err := s.Load(b.Context(), rdb).Err(); err != nil {
			b.Fatal(err)
		}
	}
	return f
}

func (f *floor) ten(ctx context.Context, keys []string) error {
	claims, err := f.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			p.EvalSha(ctx, f.claim.Hash(), []string{key}, "AbCdEfGhIjKlMnOp", int64(24_000), int64(345_624_000),
				"ungWv48Bz-o", int64(43_200_000), "AbCd1234", 3, 0)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = f.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			reply, err := claims[i].(*redis.Cmd).Text()
			if err != nil {
				return err
			}
			p.EvalSha(ctx, f.complete.Hash(), []string{key}, "AbCdEfGhIjKlMnOp", strings.Fields(reply)[1], int64(345_600_000),
				"ungWv48Bz-o", "AbCd1234", 1)
		}
		return nil
	})
	return err
}

// churn claims and completes the keys by some workers.
func churn(b *testing.B, store *redisstore.Store, workers int, keys []string) {
	var wg sync.WaitGroup
	next := make(chan string, len(keys))
	for _, key := range keys {
		next <- key
	}
	close(next)
	for range workers {
		wg.Go(func() {
			for key := range next {
				r := request(key, "AbCdEfGhIjKlMnOp")
				claim, err := store.Claim(b.Context(), r)
				if err == nil {
					_, err = store.Complete(b.Context(), complete(r, claim))
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkCost measures what a message costs this process in CPU, and how many
// round trips it takes, against the floor, which is measured in turns with it.
//
//	go test -run '^$' -bench Cost -benchtime 50x ./idempotency/redisstore
func BenchmarkCost(b *testing.B) {
	const messages = 1000 // of each per iteration
	for _, workers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			rdb := realRedis(b)
			f := newFloor(b, rdb)
			store := slowly(rdb)
			if err := store.Start(b.Context(), queue); err != nil {
				b.Fatal(err)
			}
			n := 0
			fresh := func() []string {
				keys := make([]string, messages)
				for i := range keys {
					n++
					keys[i] = fmt.Sprintf("hf:bench:%022d", n)
				}
				return keys
			}
			var floorCPU, storeCPU time.Duration
			before := store.Stats()
			for b.Loop() {
				keys := fresh()
				at := cpu()
				for i := 0; i < len(keys); i += 10 {
					if err := f.ten(b.Context(), keys[i:i+10]); err != nil {
						b.Fatal(err)
					}
				}
				floorCPU += cpu() - at
				keys = fresh()
				at = cpu()
				churn(b, store, workers, keys)
				storeCPU += cpu() - at
				rdb.FlushDB(b.Context())
			}
			after := store.Stats()
			done := float64(b.N * messages)
			b.ReportMetric(float64(after.RoundTrips-before.RoundTrips)/done, "round-trips/message")
			b.ReportMetric(float64(storeCPU.Microseconds())/done, "CPU-µs/message")
			b.ReportMetric(float64(floorCPU.Microseconds())/done, "floor-CPU-µs/message")
			b.ReportMetric(float64(storeCPU)/float64(floorCPU), "x-floor")
			b.ReportMetric(0, "ns/op")
		})
	}
}
