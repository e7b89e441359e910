// Package jitter draws the waits between tries.
package jitter

import (
	"math/rand/v2"
	"time"
)

// Full returns a random time up to base doubled n-1 times, at most limit.
// n counts from 1; base and limit are above 0. Full jitter spreads the retries of a burst over the whole
// interval (AWS Architecture Blog, "Exponential Backoff And Jitter").
func Full(base, limit time.Duration, n int) time.Duration {
	return 1 + rand.N(ceiling(base, limit, n))
}

// Equal keeps half of the interval and draws the rest: for loops that call
// SQS, where a wait near zero would be a hot loop.
func Equal(base, limit time.Duration, n int) time.Duration {
	half := ceiling(base, limit, n) / 2
	return half + rand.N(half+1)
}

func ceiling(base, limit time.Duration, n int) time.Duration {
	d := base
	for ; n > 1; n-- {
		if d > limit/2 {
			return limit
		}
		d *= 2
	}
	return min(d, limit)
}
