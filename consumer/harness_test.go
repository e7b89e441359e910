package consumer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// inBubble runs a test of the runtime in virtual time. The bubble fails the test
// where a goroutine is left behind, so every such test is one for leaks too.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// running is a consumer under test.
type running struct {
	*consumer.Consumer
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// start runs a consumer of q until the test ends or stop is called.
func start(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, h holdfast.Handler, cfg consumer.Config) *running {
	t.Helper()
	c, err := consumer.New(srv.SQS(), q.URL, h, cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Consumer: c, t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = c.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// stop cancels the consumer's context and returns what Run returned.
func (r *running) stop() error {
	r.cancel()
	<-r.done
	return r.err
}

// until waits in virtual time for a condition, at most limit.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		synctest.Wait()
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// empty tells whether nothing is left in the queue, in whatever state.
func empty(q *sqstest.Queue) func() bool {
	return func() bool { return q.Depth() == sqstest.Depth{} }
}

// effects records what handlers did, by message id.
type effects struct {
	mu   sync.Mutex // guards list
	list []string
}

func (e *effects) add(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, s)
}

func (e *effects) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.list...)
}

func (e *effects) count(s string) int {
	n := 0
	for _, x := range e.all() {
		if x == s {
			n++
		}
	}
	return n
}

// handle makes a Handler of a function.
func handle(f func(ctx context.Context, m *holdfast.Message) error) holdfast.Handler {
	return holdfast.HandlerFunc(f)
}

// nothing is a handler that succeeds.
var nothing = handle(func(context.Context, *holdfast.Message) error { return nil })

var errTest = errors.New("test failure")
