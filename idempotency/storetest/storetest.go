// Package storetest is the conformance suite of idempotency.Store. A store that
// passes Run keeps the contract that the middleware relies on.
//
// The suite does not sleep and knows no clock: it has a Harness rewrite a record
// where a lease must have lapsed. It also runs inside a testing/synctest bubble.
package storetest

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

// Harness is a store under test and the ways to reach behind it. Each call of
// the function given to Run may return a new store or the same one; the suite
// uses keys of its own in each test.
type Harness struct {
	// Store is the store under test.
	Store idempotency.Store
	// Snapshot returns the record under key as it is stored, "" where there is
	// none.
	Snapshot func(t testing.TB, key string) string
	// TTL returns what is left of the time to live of the record under key: 0
	// where there is no record, a negative value where it lives for ever.
	TTL func(t testing.TB, key string) time.Duration
	// Lapse moves the end of the lease of the record under key into the past.
	Lapse func(t testing.TB, key string)
	// Lose deletes the record under key, as an eviction or a failover does.
	Lose func(t testing.TB, key string)
	// Foreign puts a record under key that the store cannot read, of a later
	// version.
	Foreign func(t testing.TB, key string)
}

// Raw reaches the packed records of a store that keeps them as
// idempotency.Record packs them.
type Raw interface {
	// Get returns the packed record under key and what is left of its time to
	// live, negative where it lives for ever; ok is false where there is none.
	Get(key string) (packed string, ttl time.Duration, ok bool, err error)
	// Set puts a packed record under key and keeps the time to live, an hour
	// where there was no record.
	Set(key, packed string) error
	// Delete removes the record under key.
	Delete(key string) error
}

// Packed makes the Harness of a store that keeps packed records.
func Packed(store idempotency.Store, raw Raw) Harness {
	get := func(t testing.TB, key string) (string, time.Duration) {
		t.Helper()
		packed, ttl, ok, err := raw.Get(key)
		if err != nil {
			t.Fatalf("reading the record of %s: %v", key, err)
		}
		if !ok {
			return "", 0
		}
		return packed, ttl
	}
	set := func(t testing.TB, key, packed string) {
		t.Helper()
		if err := raw.Set(key, packed); err != nil {
			t.Fatalf("writing the record of %s: %v", key, err)
		}
	}
	return Harness{
		Store: store,
		Snapshot: func(t testing.TB, key string) string {
			t.Helper()
			packed, _ := get(t, key)
			return packed
		},
		TTL: func(t testing.TB, key string) time.Duration {
			t.Helper()
			_, ttl := get(t, key)
			return ttl
		},
		Lapse: func(t testing.TB, key string) {
			t.Helper()
			packed, _ := get(t, key)
			lapsed, err := Lapsed(packed)
			if err != nil {
				t.Fatalf("lapsing %s: %v", key, err)
			}
			set(t, key, lapsed)
		},
		Lose: func(t testing.TB, key string) {
			t.Helper()
			if err := raw.Delete(key); err != nil {
				t.Fatalf("deleting the record of %s: %v", key, err)
			}
		},
		Foreign: func(t testing.TB, key string) {
			t.Helper()
			set(t, key, "2|P|some|later|form")
		},
	}
}

// Lapsed returns the packed record of a claim with its lease ended long ago.
func Lapsed(packed string) (string, error) {
	r, err := idempotency.ParseRecord(packed)
	if err != nil {
		return "", err
	}
	r.Deadline = 1
	return r.String(), nil
}

// Run holds the stores that open returns to the contract. open is called once per
// test, from several goroutines.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"claim", claimCases},
		{"extend", extendCases},
		{"complete", completeCases},
		{"release", releaseCases},
		{"deaths", deathCases},
		{"beside the protocol", besideCases},
		{"invariants", invariantCases},
		{"bugs of others", bugCases},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					h := open(t)
					c.run(t, &suite{Harness: h, key: "storetest:" + token()})
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, s *suite)
}
