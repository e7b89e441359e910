package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var compareCosts = cmp.AllowUnexported(cost{})

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   []float64
		want float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{5, 1, 100}, 5}, {[]float64{4, 1, 2, 3}, 2.5},
	} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	t.Run("they are taken round by round, so a slow spell of the machine cancels", func(t *testing.T) {
		t.Parallel()
		raw := []cost{{10, 80, 0.2, 1000}, {30, 80, 0.2, 300}, {10, 80, 0.2, 1000}}
		runtime := []cost{{11, 88, 0.2, 900}, {33, 88, 0.2, 270}, {50, 88, 0.4, 100}}
		want := cost{cpu: 1.1, allocs: 1.1, requests: 1, rate: 0.9}
		if diff := cmp.Diff(want, ratios(raw, runtime), compareCosts); diff != "" {
			t.Errorf("ratios (-want +got):\n%s", diff)
		}
	})
}

func TestBetween(t *testing.T) {
	t.Parallel()
	t0 := time.Now()
	a := sample{at: t0, cpu: time.Second, mallocs: 1000, handled: 100, requests: 50}
	b := sample{at: t0.Add(2 * time.Second), cpu: 1100 * time.Millisecond, mallocs: 91000, handled: 1100, requests: 250}
	want := cost{cpu: 100, allocs: 90, requests: 0.2, rate: 500}
	if diff := cmp.Diff(want, between(a, b), compareCosts); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	report := func(far cost) []string {
		one := []cost{{10, 100, 0.2, 1000}}
		all := make([]outcome, len(workloads))
		for i := range all {
			all[i] = outcome{workload: workloads[i], raw: one, runtime: one}
		}
		all[noop].runtime = []cost{{11.5, 110, 0.204, 800}}
		all[busyNear].runtime = []cost{{20, 300, 0.3, 960}}
		all[busyFar].runtime = []cost{far}
		var out strings.Builder
		printReport(&out, all)
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
	t.Run("the last line has the ratios of the no-op and the 5 ms workload at 0 ms latency", func(t *testing.T) {
		t.Parallel()
		lines := report(cost{rate: 950})
		want := []string{"bounds: all met", "holdfast/raw cpu=1.150 allocs=1.100 requests=1.020 rate5ms=0.960"}
		if diff := cmp.Diff(want, lines[len(lines)-2:]); diff != "" {
			t.Errorf("last lines (-want +got):\n%s", diff)
		}
		if n := len(lines); n != 1+3*len(workloads)+2 {
			t.Errorf("%d lines, want a head, three for each workload and two", n)
		}
	})
	t.Run("a missed bound is named with its value", func(t *testing.T) {
		t.Parallel()
		lines := report(cost{rate: 850})
		if got, want := lines[len(lines)-2], "bounds missed: rate5ms at 10 ms 0.850 < 0.90"; got != want {
			t.Errorf("line %q, want %q", got, want)
		}
	})
}
