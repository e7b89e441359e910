package holdfast

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// worker is a runner that drains for a while when it is stopped.
type worker struct {
	fail    error         // returned at once, in place of running
	ends    time.Duration // ends by itself after this
	drain   time.Duration
	late    error // returned after the drain
	hurried chan struct{}
	once    sync.Once // signals that come together may hurry twice
	ended   time.Time
}

func newWorker(drain time.Duration) *worker {
	return &worker{drain: drain, hurried: make(chan struct{})}
}

func (w *worker) Run(ctx context.Context) error {
	defer func() { w.ended = time.Now() }()
	if w.fail != nil {
		return w.fail
	}
	var byItself <-chan time.Time
	if w.ends > 0 {
		byItself = time.After(w.ends)
	}
	select {
	case <-byItself:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-time.After(w.drain):
	case <-w.hurried:
	}
	return w.late
}

func (w *worker) StopNow() { w.once.Do(func() { close(w.hurried) }) }

// plain is a worker without StopNow.
type plain struct{ w *worker }

func (p plain) Run(ctx context.Context) error { return p.w.Run(ctx) }

func TestRunStopsAllAtTheEndOfItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		a, b := newWorker(10*time.Second), newWorker(20*time.Second)
		if err := runAll(ctx, make(chan os.Signal, 2), []Runner{a, b}); err != nil {
			t.Errorf("runAll = %v, want nil", err)
		}
		if a.ended.Sub(begun) != 70*time.Second || time.Since(begun) != 80*time.Second {
			t.Errorf("ended after %v and %v: they did not drain side by side", a.ended.Sub(begun), time.Since(begun))
		}
	})
}

func TestRunStopsAllWhereOneFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		missing, late := errors.New("queue is missing"), errors.New("drain was too long")
		a, b, c := newWorker(time.Second), newWorker(0), newWorker(2*time.Second)
		b.fail, c.late = missing, late
		err := runAll(t.Context(), make(chan os.Signal, 2), []Runner{a, b, c})
		if !errors.Is(err, missing) || !errors.Is(err, late) {
			t.Errorf("error = %v, want those of all runners", err)
		}
		if !strings.Contains(err.Error(), "runner 1: queue is missing") || !strings.Contains(err.Error(), "runner 2: drain") || strings.Contains(err.Error(), "runner 0") {
			t.Errorf("error = %v, want the place of each that failed", err)
		}
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("ended after %v, want the others stopped at once", took)
		}
	})
}

func TestRunStopsAllWhereOneEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		a, b := newWorker(time.Second), newWorker(0)
		b.ends = time.Minute
		if err := runAll(t.Context(), make(chan os.Signal, 2), []Runner{a, b}); err != nil {
			t.Errorf("error = %v, want nil", err)
		}
		if took := time.Since(begun); took != 61*time.Second {
			t.Errorf("ended after %v, want 1m1s", took)
		}
	})
}

func TestRunHeedsSignals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		signals []time.Duration // when they come
		cancel  time.Duration   // when the context ends; 0: never
		want    time.Duration   // when all have ended
	}{
		"the first stops":                            {signals: []time.Duration{time.Minute}, want: 90 * time.Second},
		"the second hurries":                         {signals: []time.Duration{time.Minute, 65 * time.Second}, want: 70 * time.Second},
		"a third in the same moment changes nothing": {signals: []time.Duration{time.Minute, 65 * time.Second, 65 * time.Second}, want: 70 * time.Second},
		"the first after a cancel hurries":           {cancel: time.Minute, signals: []time.Duration{65 * time.Second}, want: 70 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				signals := make(chan os.Signal, 2)
				for _, at := range tt.signals {
					time.AfterFunc(at, func() { signals <- syscall.SIGTERM })
				}
				// The one without StopNow cannot be hurried: it drains for 10 s.
				if err := runAll(ctx, signals, []Runner{newWorker(30 * time.Second), plain{newWorker(10 * time.Second)}}); err != nil {
					t.Errorf("error = %v, want nil", err)
				}
				if took := time.Since(begun); took != tt.want {
					t.Errorf("ended after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

func TestRunIsStoppedByARealSignal(t *testing.T) {
	t.Parallel()
	process, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	started := runnerFunc(func(ctx context.Context) error {
		if err := process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	if err := Run(t.Context(), started); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

type runnerFunc func(context.Context) error

func (f runnerFunc) Run(ctx context.Context) error { return f(ctx) }

func TestRunRefusesMistakes(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no runners") {
		t.Errorf("Run of nothing = %v", err)
	}
	ran := runnerFunc(func(context.Context) error {
		t.Error("a runner ran beside one that is nil")
		return nil
	})
	if err := Run(t.Context(), ran, nil); err == nil || !strings.Contains(err.Error(), "runner 1 is nil") {
		t.Errorf("Run with a nil runner = %v", err)
	}
}
