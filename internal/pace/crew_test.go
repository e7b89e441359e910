package pace_test

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/pace"
)

// crewed has as many calls at once as the crew lets there be, at most 100, of which more are
// always wanted, on something that does rate(n) calls a second when n are made at
// once. It returns the number at the end and the average over the last second.
func crewed(c *pace.Crew, from time.Time, took time.Duration, rate func(n int) float64) (end time.Time, n int, mean float64) {
	now, sum, samples := from, 0.0, 0.0
	n = 1
	for stop := from.Add(took); now.Before(stop); {
		now = now.Add(time.Duration(float64(time.Second) / rate(n)))
		n = min(n+1, 100, c.Ended(now, n, true))
		if stop.Sub(now) < time.Second {
			sum += float64(n)
			samples++
		}
	}
	return now, n, sum / samples
}

// network is the rate of calls that each take latency.
func network(latency time.Duration) func(n int) float64 {
	return func(n int) float64 { return float64(n) / latency.Seconds() }
}

// processor is the rate of calls that take latency, of which all together do most a
// second.
func processor(latency time.Duration, most float64) func(n int) float64 {
	return func(n int) float64 { return min(most, network(latency)(n)) }
}

func TestCrew(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0)
	t.Run("grows as long as calls wait for the network", func(t *testing.T) {
		t.Parallel()
		var c pace.Crew
		if _, n, _ := crewed(&c, start, time.Second, network(20*ms)); n < 90 {
			t.Errorf("%d calls at once after a second at 20 ms, want 90 at least", n)
		}
	})
	t.Run("is few where more get nothing more done", func(t *testing.T) {
		t.Parallel()
		var c pace.Crew
		if _, _, mean := crewed(&c, start, 20*time.Second, processor(ms/2, 6000)); mean < 7 || mean > 8.5 {
			t.Errorf("%.1f calls at once where 3 do all there is to do, want about 8", mean)
		}
	})
	t.Run("stops where the growth does not pay any more", func(t *testing.T) {
		t.Parallel()
		var c pace.Crew
		_, _, mean := crewed(&c, start, 20*time.Second, processor(10*ms, 3000))
		if mean < 26 || mean > 48 { // 30 do all there is to do
			t.Errorf("%.1f calls at once where 30 do all there is to do", mean)
		}
	})
	t.Run("finds out when the network has become slower", func(t *testing.T) {
		t.Parallel()
		var c pace.Crew
		now, _, _ := crewed(&c, start, 20*time.Second, processor(ms/2, 6000))
		if _, n, _ := crewed(&c, now, 6*time.Second, network(20*ms)); n < 90 {
			t.Errorf("%d calls at once 6 s after the latency rose to 20 ms, want 90 at least", n)
		}
	})
	t.Run("begins anew after a pause", func(t *testing.T) {
		t.Parallel()
		var c pace.Crew
		now, n, _ := crewed(&c, start, time.Second, network(20*ms))
		if got := c.Ended(now.Add(2*time.Second), n, true); got != 8 {
			t.Errorf("%d calls at once allowed after a pause, want 8", got)
		}
	})
	t.Run("learns nothing while there is too little to do", func(t *testing.T) {
		t.Parallel()
		var c pace.Crew
		now := start
		for range 10_000 {
			now = now.Add(ms)
			if got := c.Ended(now, 8, false); got != 8 {
				t.Fatalf("%d calls at once allowed, want 8", got)
			}
		}
	})
}
