package lazyctx_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/internal/lazyctx"
)

var (
	errFirst  = errors.New("first")
	errSecond = errors.New("second")
)

type key struct{}

func TestContext(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*lazyctx.Context, context.CancelCauseFunc) {
		parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		t.Cleanup(func() { cancel(nil) })
		return &lazyctx.Context{Parent: parent}, cancel
	}
	t.Run("an end before anyone looks is seen by who looks later, with its cause", func(t *testing.T) {
		t.Parallel()
		c, _ := setup(t)
		c.Cancel(errFirst)
		c.Cancel(errSecond)
		if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), errFirst) {
			t.Errorf("err %v, cause %v", c.Err(), context.Cause(c))
		}
	})
	t.Run("an end is seen by who looked before, and by contexts made of it", func(t *testing.T) {
		t.Parallel()
		c, _ := setup(t)
		child, stop := context.WithTimeout(c, time.Hour)
		defer stop()
		if c.Err() != nil || child.Err() != nil {
			t.Fatal("ended from the start")
		}
		c.Cancel(errFirst)
		c.Cancel(errSecond)
		<-child.Done()
		<-c.Done()
		if !errors.Is(context.Cause(child), errFirst) || !errors.Is(context.Cause(c), errFirst) {
			t.Errorf("causes %v and %v", context.Cause(child), context.Cause(c))
		}
	})
	t.Run("the end of the parent ends it, with the parent's cause", func(t *testing.T) {
		t.Parallel()
		c, cancel := setup(t)
		cancel(errFirst)
		<-c.Done()
		if !errors.Is(context.Cause(c), errFirst) {
			t.Errorf("cause %v", context.Cause(c))
		}
	})
	t.Run("values and the deadline are the parent's", func(t *testing.T) {
		t.Parallel()
		c, _ := setup(t)
		if c.Value(key{}) != "value" {
			t.Errorf("value %v", c.Value(key{}))
		}
		if _, ok := c.Deadline(); ok {
			t.Error("a deadline out of nowhere")
		}
	})
	t.Run("it ends at Until, looked at or not, and not later than its parent", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			looked, not := &lazyctx.Context{Parent: t.Context(), Until: time.Now().Add(time.Second)}, &lazyctx.Context{Parent: t.Context(), Until: time.Now().Add(time.Second)}
			defer looked.Cancel(nil)
			done := looked.Done()
			if d, ok := not.Deadline(); !ok || !d.Equal(time.Now().Add(time.Second)) {
				t.Errorf("deadline %v, %v", d, ok)
			}
			time.Sleep(time.Second - 1)
			synctest.Wait()
			if looked.Err() != nil || not.Err() != nil {
				t.Errorf("too early: %v, %v", looked.Err(), not.Err())
			}
			time.Sleep(time.Nanosecond)
			<-done
			if looked.Err() != context.DeadlineExceeded || not.Err() != context.DeadlineExceeded || context.Cause(not) != context.DeadlineExceeded {
				t.Errorf("ended with %v, %v and cause %v", looked.Err(), not.Err(), context.Cause(not))
			}
			parent, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			late := &lazyctx.Context{Parent: parent, Until: time.Now().Add(time.Minute)}
			if d, _ := late.Deadline(); !d.Equal(time.Now().Add(time.Second)) {
				t.Errorf("deadline %v", d)
			}
			cancel()
			if late.Err() != context.Canceled {
				t.Errorf("ended with %v", late.Err())
			}
		})
	})
	t.Run("an end before Until has its cause", func(t *testing.T) {
		t.Parallel()
		c := &lazyctx.Context{Parent: t.Context(), Until: time.Now().Add(time.Hour)}
		child, stop := context.WithCancel(c)
		defer stop()
		c.Cancel(errFirst)
		<-child.Done()
		if c.Err() != context.Canceled || context.Cause(child) != errFirst {
			t.Errorf("err %v, cause %v", c.Err(), context.Cause(child))
		}
	})
	t.Run("what Err has told does not change, whatever ends or is asked later", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			same := func(c *lazyctx.Context, want, cause error) {
				t.Helper()
				first := c.Err()
				c.Cancel(errSecond)
				again := c.Err()
				<-c.Done()
				if first != want || again != want || c.Err() != want || context.Cause(c) != cause {
					t.Errorf("told %v, %v and %v with cause %v; want %v with %v", first, again, c.Err(), context.Cause(c), want, cause)
				}
			}
			parent, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			late := &lazyctx.Context{Parent: t.Context(), Until: time.Now().Add(time.Second)}
			canceled := &lazyctx.Context{Parent: parent, Until: time.Now().Add(time.Second)}
			canceled.Cancel(errFirst)
			// Its parent has a cause of its own by then.
			of, endOf := context.WithCancelCause(t.Context())
			first := &lazyctx.Context{Parent: of}
			first.Cancel(errFirst)
			if first.Err() != context.Canceled {
				t.Error("it has not ended")
			}
			endOf(errSecond)
			same(first, context.Canceled, errFirst)
			orphan := &lazyctx.Context{Parent: parent, Until: time.Now().Add(time.Hour)}
			time.Sleep(time.Hour)
			same(late, context.DeadlineExceeded, context.DeadlineExceeded)
			same(canceled, context.Canceled, errFirst)
			same(orphan, context.DeadlineExceeded, context.DeadlineExceeded)
		})
	})
	t.Run("no cause stands for context.Canceled", func(t *testing.T) {
		t.Parallel()
		c, _ := setup(t)
		c.Cancel(nil)
		if !errors.Is(context.Cause(c), context.Canceled) {
			t.Errorf("cause %v", context.Cause(c))
		}
	})
}

func TestContextThatNobodyLooksAtCostsNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts for the whole process
	parent := t.Context()
	contexts := make([]lazyctx.Context, 200) // as parts of what is there anyway
	n := 0
	allocs := testing.AllocsPerRun(100, func() {
		c := &contexts[n]
		n++
		c.Parent = parent
		if c.Err() != nil || c.Value(key{}) != nil {
			t.Error("it has ended, or a value")
		}
		c.Cancel(nil)
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
