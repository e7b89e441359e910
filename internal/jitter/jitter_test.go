package jitter_test

import (
	"math"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/jitter"
)

func TestJitter(t *testing.T) {
	t.Parallel()
	const base, limit = 2 * time.Second, 15 * time.Minute
	ceilings := map[int]time.Duration{
		-3: base, 0: base, 1: base, 2: 4 * time.Second, 3: 8 * time.Second, 9: 512 * time.Second,
		10: limit, 11: limit, 1000: limit, math.MaxInt: limit,
	}
	// draw returns the least and the greatest of many draws.
	draw := func(f func(time.Duration, time.Duration, int) time.Duration, base, limit time.Duration, n int) (least, most time.Duration) {
		least = math.MaxInt64
		for range 2000 {
			d := f(base, limit, n)
			least, most = min(least, d), max(most, d)
		}
		return least, most
	}

	t.Run("full jitter is spread over all of the interval, never zero", func(t *testing.T) {
		t.Parallel()
		for n, c := range ceilings {
			least, most := draw(jitter.Full, base, limit, n)
			if least <= 0 || most > c {
				t.Errorf("try %d: %v to %v is not within 0 to %v", n, least, most, c)
			}
			if least > c/50 || most < c-c/50 {
				t.Errorf("try %d: %v to %v does not fill 0 to %v", n, least, most, c)
			}
		}
	})
	t.Run("equal jitter keeps half of the interval", func(t *testing.T) {
		t.Parallel()
		for n, c := range ceilings {
			least, most := draw(jitter.Equal, base, limit, n)
			if least < c/2 || most > c {
				t.Errorf("try %d: %v to %v is not within %v to %v", n, least, most, c/2, c)
			}
			if least > c/2+c/50 || most < c-c/50 {
				t.Errorf("try %d: %v to %v does not fill %v to %v", n, least, most, c/2, c)
			}
		}
	})
	t.Run("a base above the limit is the limit", func(t *testing.T) {
		t.Parallel()
		if _, most := draw(jitter.Full, time.Hour, time.Second, 5); most > time.Second {
			t.Errorf("drew %v", most)
		}
	})
	t.Run("the longest times do not overflow", func(t *testing.T) {
		t.Parallel()
		if least, _ := draw(jitter.Equal, time.Nanosecond, math.MaxInt64-1, 200); least < math.MaxInt64/2-1 {
			t.Errorf("drew %v", least)
		}
	})
	t.Run("the shortest interval is a nanosecond", func(t *testing.T) {
		t.Parallel()
		if d := jitter.Full(1, 1, 1); d != 1 {
			t.Errorf("drew %v", d)
		}
	})
}
