package batch_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/batch"
)

// flush is one call of Flush, as a recorder saw it.
type flush struct {
	At    time.Duration
	Items []int
}

// recorder is a Flush that takes a given time and writes down its calls.
type recorder struct {
	start time.Time
	takes time.Duration

	mu      sync.Mutex // guards all below
	flushes []flush
	open    int
	most    int
	changed bool // items were written to while they were flushed
}

func newRecorder(takes time.Duration) *recorder {
	return &recorder{start: time.Now(), takes: takes}
}

func (r *recorder) flush(items []int) {
	r.mu.Lock()
	r.flushes = append(r.flushes, flush{time.Since(r.start), slices.Clone(items)})
	r.open++
	r.most = max(r.most, r.open)
	r.mu.Unlock()
	was := slices.Clone(items)
	if r.takes > 0 {
		time.Sleep(r.takes)
	}
	r.mu.Lock()
	r.open--
	r.changed = r.changed || !slices.Equal(was, items)
	r.mu.Unlock()
}

func (r *recorder) calls() []flush {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.flushes)
}

// closeAtEnd sends the workers of b home before its bubble ends.
func closeAtEnd(t *testing.T, b *batch.Batcher[int]) {
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func addAll(b *batch.Batcher[int], from, to int) {
	for i := from; i <= to; i++ {
		b.Add(i)
	}
}

func span(from, to int) []int {
	var s []int
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}

func TestBatcher(t *testing.T) {
	t.Parallel()

	const ms = time.Millisecond
	weigh := func(i int) int { return i }
	tests := map[string]struct {
		cfg   batch.Config[int]
		takes time.Duration
		do    func(b *batch.Batcher[int])
		want  []flush
	}{
		"a full flush does not linger": {
			cfg:  batch.Config[int]{Size: 3, Linger: 50 * ms, Workers: 1},
			do:   func(b *batch.Batcher[int]) { addAll(b, 1, 6) },
			want: []flush{{0, span(1, 3)}, {0, span(4, 6)}},
		},
		"what is left of a full flush lingers by its own age": {
			cfg: batch.Config[int]{Size: 3, Linger: 50 * ms, Workers: 1},
			do: func(b *batch.Batcher[int]) {
				addAll(b, 1, 2)
				time.Sleep(30 * ms)
				addAll(b, 3, 4)
			},
			want: []flush{{30 * ms, span(1, 3)}, {80 * ms, span(4, 4)}},
		},
		"an item lingers no longer than Linger and takes its company along": {
			cfg: batch.Config[int]{Size: 10, Linger: 50 * ms, Workers: 1},
			do: func(b *batch.Batcher[int]) {
				b.Add(1)
				time.Sleep(49 * ms)
				b.Add(2)
			},
			want: []flush{{50 * ms, span(1, 2)}},
		},
		"without linger items share the next flush while the worker is busy": {
			cfg:   batch.Config[int]{Size: 10, Workers: 1},
			takes: 20 * ms,
			do: func(b *batch.Batcher[int]) {
				b.Add(1)
				synctest.Wait()
				addAll(b, 2, 15)
			},
			want: []flush{{0, span(1, 1)}, {20 * ms, span(2, 11)}, {40 * ms, span(12, 15)}},
		},
		"items that linger while all workers are busy go when one is free": {
			cfg:   batch.Config[int]{Size: 2, Linger: 50 * ms, Workers: 1},
			takes: 200 * ms,
			do: func(b *batch.Batcher[int]) {
				addAll(b, 1, 2)
				synctest.Wait()
				b.Add(3)
			},
			want: []flush{{0, span(1, 2)}, {200 * ms, span(3, 3)}},
		},
		"items that came just before a worker ends linger on": {
			cfg:   batch.Config[int]{Size: 2, Linger: 50 * ms, Workers: 1},
			takes: 20 * ms,
			do: func(b *batch.Batcher[int]) {
				addAll(b, 1, 2)
				time.Sleep(10 * ms)
				b.Add(3)
			},
			want: []flush{{0, span(1, 2)}, {60 * ms, span(3, 3)}},
		},
		"a flush ends before the item that would make it too heavy": {
			cfg:  batch.Config[int]{Size: 10, Bytes: 10, Weigh: weigh, Linger: 50 * ms, Workers: 1},
			do:   func(b *batch.Batcher[int]) { addAll(b, 4, 6) },
			want: []flush{{0, []int{4, 5}}, {50 * ms, []int{6}}},
		},
		"a flush that weighs just the bound is full": {
			cfg:  batch.Config[int]{Bytes: 9, Weigh: weigh, Linger: 50 * ms, Workers: 1},
			do:   func(b *batch.Batcher[int]) { addAll(b, 4, 5) },
			want: []flush{{0, []int{4, 5}}},
		},
		"an item heavier than the bound goes alone": {
			cfg: batch.Config[int]{Bytes: 10, Weigh: weigh, Linger: 50 * ms, Workers: 1},
			do: func(b *batch.Batcher[int]) {
				b.Add(1)
				b.Add(99)
				b.Add(2)
			},
			want: []flush{{0, []int{1}}, {0, []int{99}}, {50 * ms, []int{2}}},
		},
		"FlushNow ends the lingering of what is pending and of nothing later": {
			cfg: batch.Config[int]{Size: 10, Linger: 50 * ms, Workers: 1},
			do: func(b *batch.Batcher[int]) {
				addAll(b, 1, 2)
				time.Sleep(10 * ms)
				b.FlushNow()
				synctest.Wait()
				b.Add(3)
			},
			want: []flush{{10 * ms, span(1, 2)}, {60 * ms, span(3, 3)}},
		},
		"FlushNow with nothing pending does nothing": {
			cfg: batch.Config[int]{Size: 10, Linger: 50 * ms, Workers: 1},
			do: func(b *batch.Batcher[int]) {
				b.FlushNow()
				b.Add(1)
			},
			want: []flush{{50 * ms, span(1, 1)}},
		},
		"FlushNow while the worker is busy is remembered": {
			cfg:   batch.Config[int]{Size: 2, Linger: 90 * ms, Workers: 1},
			takes: 20 * ms,
			do: func(b *batch.Batcher[int]) {
				addAll(b, 1, 2)
				synctest.Wait()
				b.Add(3)
				b.FlushNow()
			},
			want: []flush{{0, span(1, 2)}, {20 * ms, span(3, 3)}},
		},
		"Close ends lingering, of what comes after it too": {
			cfg: batch.Config[int]{Size: 10, Linger: 50 * ms, Workers: 1},
			do: func(b *batch.Batcher[int]) {
				addAll(b, 1, 2)
				time.Sleep(10 * ms)
				if err := b.Close(context.Background()); err != nil {
					panic(err)
				}
				b.Add(3)
			},
			want: []flush{{10 * ms, span(1, 2)}, {10 * ms, span(3, 3)}},
		},
		"the zero sizes bound nothing and flush at once": {
			do:   func(b *batch.Batcher[int]) { addAll(b, 1, 30) },
			want: []flush{{0, span(1, 30)}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder(tt.takes)
				tt.cfg.Flush = r.flush
				b := batch.New(tt.cfg)
				closeAtEnd(t, b)
				tt.do(b)
				if err := b.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := b.Pending(); n != 0 {
					t.Errorf("Pending after Wait = %d, want 0", n)
				}
				if diff := cmp.Diff(tt.want, r.calls()); diff != "" {
					t.Errorf("flushes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestBatcherUsesAllWorkersAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Second)
		b := batch.New(batch.Config[int]{Size: 10, Workers: 3, Linger: time.Minute, Flush: r.flush})
		closeAtEnd(t, b)
		addAll(b, 1, 65)
		if n := b.Pending(); n != 65 {
			t.Errorf("Pending = %d, want 65", n)
		}
		b.FlushNow()
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(r.start); took != 3*time.Second {
			t.Errorf("7 flushes of 1 s by 3 workers took %v, want 3 s", took)
		}
		addAll(b, 66, 95) // by workers that start anew
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(r.start); took != 4*time.Second {
			t.Errorf("3 more flushes of 1 s by 3 workers took %v, want 1 s", took-3*time.Second)
		}
		if r.most != 3 {
			t.Errorf("%d flushes at once, want 3", r.most)
		}
		if r.changed {
			t.Error("items were written to while they were flushed")
		}
		var all []int
		for _, f := range r.calls() {
			all = append(all, f.Items...)
		}
		slices.Sort(all)
		if diff := cmp.Diff(span(1, 95), all); diff != "" {
			t.Errorf("items flushed (-want +got):\n%s", diff)
		}
	})
}

func TestBatcherKeepsOrderWithOneWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const items = 10_000
		r := newRecorder(time.Millisecond)
		b := batch.New(batch.Config[int]{Size: 10, Workers: 1, Linger: 3 * time.Millisecond, Flush: r.flush})
		closeAtEnd(t, b)
		for i := 1; i <= items; i++ {
			b.Add(i)
			if i%37 == 0 { // a little faster than the worker, so that some always wait
				time.Sleep(3 * time.Millisecond)
			}
		}
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := 1
		for _, f := range r.calls() {
			if len(f.Items) > 10 {
				t.Fatalf("flush of %d items, want at most 10", len(f.Items))
			}
			for _, i := range f.Items {
				if i != next {
					t.Fatalf("item %d came where %d was due", i, next)
				}
				next++
			}
		}
		if next != items+1 {
			t.Errorf("%d items flushed, want %d", next-1, items)
		}
	})
}

func TestBatcherTakesItemsFromManyGoroutinesAndFromFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := map[int]int{}
		var b *batch.Batcher[int]
		b = batch.New(batch.Config[int]{Size: 10, Workers: 4, Linger: time.Millisecond, Flush: func(items []int) {
			mu.Lock()
			defer mu.Unlock()
			for _, i := range items {
				seen[i]++
				if i%5 == 0 && seen[i] == 1 {
					b.Add(i) // as a delete that failed is tried again
				}
			}
		}})
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 500 {
					b.Add(g*500 + i)
				}
			})
		}
		wg.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 4000 {
			want := 1
			if i%5 == 0 {
				want = 2
			}
			if seen[i] != want {
				t.Fatalf("item %d flushed %d times, want %d", i, seen[i], want)
			}
		}
	})
}

func TestBatcherWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(time.Minute)
		b := batch.New(batch.Config[int]{Size: 2, Workers: 1, Flush: r.flush})
		closeAtEnd(t, b)
		addAll(b, 1, 5)
		cause := errors.New("out of time")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 61*time.Second, cause)
		defer cancel()
		err := b.Close(ctx)
		if !errors.Is(err, cause) || !strings.Contains(fmt.Sprint(err), "3 items") {
			t.Errorf("Close = %v, want one that names 3 items and wraps %v", err, cause)
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(r.start); took != 3*time.Minute {
			t.Errorf("what was under way ended after %v, want 3m", took)
		}
	})
}

func TestBatcherKeepsNothingAliveWhileIdle(t *testing.T) {
	t.Parallel()
	// A goroutine left behind would make synctest.Test fail with a deadlock.
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(batch.Config[int]{Size: 10, Workers: 3, Linger: time.Second, Flush: func([]int) {}})
		addAll(b, 1, 100)
		b.Add(101)
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBatcherSendsItsWorkersHomeAWhileAfterTheLastItem(t *testing.T) {
	t.Parallel()
	// A goroutine left behind would make synctest.Test fail with a deadlock.
	synctest.Test(t, func(t *testing.T) {
		b := batch.New(batch.Config[int]{Size: 10, Workers: 3, Flush: func([]int) {}})
		for range 3 {
			addAll(b, 1, 100)
			time.Sleep(700 * time.Millisecond)
		}
		if err := b.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
	})
}

func TestBatcherLetsGoOfWhatItFlushed(t *testing.T) {
	t.Parallel()
	b := batch.New(batch.Config[*[64]byte]{Size: 10, Workers: 1, Flush: func([]*[64]byte) {}})
	var flushed []weak.Pointer[[64]byte]
	for range 20 {
		item := new([64]byte)
		flushed = append(flushed, weak.Make(item))
		b.Add(item)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	for i, item := range flushed {
		if item.Value() != nil {
			t.Errorf("item %d is kept alive after its flush", i)
		}
	}
	runtime.KeepAlive(b)
}

func BenchmarkBatcher(b *testing.B) {
	for name, linger := range map[string]time.Duration{"linger": time.Millisecond, "no linger": 0} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			bt := batch.New(batch.Config[*int]{Size: 10, Workers: 2, Linger: linger, Flush: func([]*int) {}})
			item := new(int)
			n := 0
			for b.Loop() {
				bt.Add(item)
				if n++; n%1000 == 0 { // the runtime bounds what is pending
					bt.FlushNow()
					_ = bt.Wait(context.Background())
				}
			}
			_ = bt.Close(context.Background())
		})
	}
}
