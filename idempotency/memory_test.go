package idempotency_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/storetest"
)

type rawMemory struct{ s *idempotency.MemoryStore }

func (r rawMemory) Get(key string) (string, time.Duration, bool, error) {
	packed, ttl, ok := r.s.Raw(key)
	return packed, ttl, ok, nil
}
func (r rawMemory) Set(key, packed string) error { r.s.SetRaw(key, packed); return nil }
func (r rawMemory) Delete(key string) error      { r.s.Delete(key); return nil }

func TestMemoryStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := idempotency.NewMemoryStore()
		return storetest.Packed(s, rawMemory{s})
	})
}

func TestMemoryStoreForgets(t *testing.T) {
	t.Parallel()
	t.Run("a record whose time to live is over is gone", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var s idempotency.MemoryStore // the zero value works
			first, err := s.Claim(t.Context(), request("k", "a"))
			if err != nil || first.Class != idempotency.ClassNew {
				t.Fatalf("claim: %v, %v", first.Class, err)
			}
			time.Sleep(time.Hour)
			second, err := s.Claim(t.Context(), request("k", "b"))
			if err != nil || second.Class != idempotency.ClassNew {
				t.Fatalf("claim: %v, %v", second.Class, err)
			}
			if second.Fence <= first.Fence {
				t.Errorf("fence went from %d to %d", first.Fence, second.Fence)
			}
		})
	})
	t.Run("a fence is not repeated over a lost record while the clock stands still", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := idempotency.NewMemoryStore()
			first, _ := s.Claim(t.Context(), request("k", "a"))
			s.Delete("k")
			second, err := s.Claim(t.Context(), request("k", "b"))
			if err != nil || second.Class != idempotency.ClassNew || second.Fence <= first.Fence {
				t.Errorf("claim: %+v, %v; want a fence above %d", second, err, first.Fence)
			}
		})
	})
	t.Run("expired records do not pile up", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := idempotency.NewMemoryStore()
			for range 10_000 {
				if _, err := s.Claim(t.Context(), request(idempotency.NewToken(), "a")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			if n := s.Len(); n > 2048 {
				t.Errorf("%d records are kept, 60 are alive", n)
			}
		})
	})
}

func request(key, token string) idempotency.ClaimRequest {
	return idempotency.ClaimRequest{
		Key: key, Token: token, Lease: 24 * time.Second, Hard: 12 * time.Hour, TTL: time.Hour,
	}
}
