package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// told records what hooks are told. Events are kept with a copy of their message,
// as it was then.
type told struct {
	mu      sync.Mutex // guards all below
	settled []holdfast.SettledEvent
	ended   []holdfast.FinishedEvent
	dead    []holdfast.DeadLetteredEvent
	parked  []holdfast.ParkedEvent
	lost    []holdfast.LeaseLostEvent
}

// hooks returns the hooks that t listens by.
func (t *told) hooks() holdfast.Hooks {
	return holdfast.Hooks{
		Settled: func(e holdfast.SettledEvent) {
			t.mu.Lock()
			defer t.mu.Unlock()
			m := *e.Message
			e.Message = &m
			t.settled = append(t.settled, e)
		},
		Finished: func(e holdfast.FinishedEvent) {
			t.mu.Lock()
			defer t.mu.Unlock()
			m := *e.Message
			e.Message = &m
			t.ended = append(t.ended, e)
		},
		DeadLettered: func(e holdfast.DeadLetteredEvent) {
			t.mu.Lock()
			defer t.mu.Unlock()
			m := *e.Message
			e.Message = &m
			t.dead = append(t.dead, e)
		},
		Parked: func(e holdfast.ParkedEvent) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.parked = append(t.parked, e)
		},
		LeaseLost: func(e holdfast.LeaseLostEvent) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.lost = append(t.lost, e)
		},
	}
}

// deadLetters returns the dead-lettered events so far.
func (t *told) deadLetters() []holdfast.DeadLetteredEvent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.dead)
}

// retried returns the settled events so far whose outcome is Retried.
func (t *told) retried() (list []holdfast.SettledEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.settled {
		if e.Outcome == holdfast.Retried {
			list = append(list, e)
		}
	}
	return list
}

func TestRetry(t *testing.T) {
	t.Parallel()
	t.Run("backs off by attempt with full jitter within its bounds", backoffBounds)
	t.Run("backs off on a FIFO queue here, within the same bounds", backoffFIFO)
	t.Run("comes no sooner than RetryAfter says, by the visibility of a standard queue", retryAfterStandard)
	t.Run("comes at the end of its 12 hours, and says so, where RetryAfter asks for more than is left of them", retryAfterTooLate)
	t.Run("comes at once where RetryAfter says 0", retryAfterZero)
	t.Run("is delayed by RetryAfter as soon as SQS takes the change, which is tried until the hold ends", retryAfterThrottled)
	t.Run("by RetryAfter on the last receive of a standard queue is held here and burns no receive", retryAfterLast)
	t.Run("by RetryAfter out of bounds is an ordinary error that names it", retryAfterOutOfBounds)
	t.Run("does not happen for Permanent, which is dead-lettered at once", permanentAtOnce)
	t.Run("of what cannot be decoded or has no route ends on the third attempt", thirdAttempt)
	t.Run("ends at maxReceiveCount, dead-lettered by us as exhausted", exhausted)
	t.Run("beyond retention is dead-lettered now", beyondRetention)
	t.Run("goes by the outermost verb where verbs are nested", nestedVerbs)
}

// bound is the longest backoff after the n-th attempt.
func bound(base, limit time.Duration, n int) time.Duration {
	return min(limit, base<<(n-1))
}

func backoffBounds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const messages, failures = 100, 5
		const base, limit = 4 * time.Second, 30 * time.Second
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(100))
		q.SendN(t, messages)
		var rec told
		var mu sync.Mutex
		due := make(map[string]time.Time) // by message id
		cfg := consumer.Config{Concurrency: messages, BackoffBase: base, BackoffMax: limit, Hooks: rec.hooks()}
		cfg.Hooks.Settled = func(e holdfast.SettledEvent) {
			rec.hooks().Settled(e)
			mu.Lock()
			defer mu.Unlock()
			due[e.Message.ID] = time.Now().Add(e.Delay)
		}
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			mu.Lock()
			defer mu.Unlock()
			// SQS counts in whole seconds, and a poll may be on its way.
			if late := time.Since(due[m.ID]); m.Attempt > 1 && (late < 0 || late > 1500*time.Millisecond) {
				t.Errorf("attempt %d came %v after its backoff ended, want 0 to 1.5s", m.Attempt, late)
			}
			if m.Attempt <= failures {
				return errTest
			}
			return nil
		}), cfg)
		until(t, 10*time.Minute, "all done", empty(q))

		delays := make(map[int][]time.Duration)
		for _, e := range rec.retried() {
			delays[e.Message.Attempt] = append(delays[e.Message.Attempt], e.Delay)
		}
		for n := 1; n <= failures; n++ {
			checkJitter(t, n, delays[n], messages, bound(base, limit, n))
		}
	})
}

// checkJitter tells whether delays are spread over the whole of 0 to most: a
// hundred draws miss an outer third once in 10^17.
func checkJitter(t *testing.T, attempt int, delays []time.Duration, want int, most time.Duration) {
	t.Helper()
	if len(delays) != want {
		t.Fatalf("%d backoffs after attempt %d, want %d", len(delays), attempt, want)
	}
	lo, hi := slices.Min(delays), slices.Max(delays)
	if lo <= 0 || hi > most {
		t.Errorf("backoffs after attempt %d are %v to %v, want above 0 and at most %v", attempt, lo, hi, most)
	}
	if lo > most/3 || hi < most*2/3 {
		t.Errorf("backoffs after attempt %d are %v to %v, want them spread over 0 to %v", attempt, lo, hi, most)
	}
}

func backoffFIFO(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const groups, failures = 100, 4
		const base, limit = 4 * time.Second, 20 * time.Second
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(100))
		sendGroups(t, q, groups, 1)
		var rs groupRuns
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if m.Attempt <= failures {
				return errTest
			}
			return nil
		}), consumer.Config{Concurrency: groups, BackoffBase: base, BackoffMax: limit})
		until(t, 10*time.Minute, "all done", empty(q))
		delays := make(map[int][]time.Duration)
		for g := range groups {
			list := rs.of(groupName(g))
			for i := 1; i < len(list); i++ {
				delays[i] = append(delays[i], list[i].began.Sub(list[i-1].end))
			}
		}
		for n := 1; n <= failures; n++ {
			checkJitter(t, n, delays[n], groups, bound(base, limit, n))
		}
	})
}

func retryAfterStandard(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		delays := []time.Duration{time.Second, 90 * time.Second, 1500 * time.Millisecond, 3 * time.Hour}
		id := q.Send(t, "x")
		var ended []time.Time
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if n := len(ended); n > 0 {
				want := delays[n-1]
				if got := time.Since(ended[n-1]); got < want || got > want+time.Second {
					t.Errorf("RetryAfter(%v) came after %v", want, got)
				}
			}
			ended = append(ended, time.Now())
			if m.Attempt <= len(delays) {
				return fmt.Errorf("wrapped: %w", holdfast.RetryAfter(delays[m.Attempt-1], errTest))
			}
			return nil
		}), consumer.Config{})
		time.Sleep(3 * time.Hour)
		until(t, 5*time.Minute, "done", empty(q))
		if got := q.Receives(id); got != len(delays)+1 {
			t.Errorf("received %d times, want %d", got, len(delays)+1)
		}
	})
}

func retryAfterTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		q.Send(t, "x")
		var ended time.Time
		var told, waited time.Duration
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt > 1 {
				waited = time.Since(ended)
				return nil
			}
			err := nap(ctx, 30*time.Minute)
			ended = time.Now()
			return errors.Join(err, holdfast.RetryAfter(12*time.Hour, errTest))
		}), consumer.Config{Hooks: holdfast.Hooks{Settled: func(e holdfast.SettledEvent) {
			if e.Outcome == holdfast.Retried {
				told = e.Delay
			}
		}}})
		time.Sleep(12 * time.Hour)
		until(t, 10*time.Minute, "done", empty(q))
		if left := 11*time.Hour + 30*time.Minute; told > left || told < left-time.Minute {
			t.Errorf("the hook was told of a delay of %v, want what is left of 12 h, %v", told, left)
		}
		if waited < told || waited > told+time.Second {
			t.Errorf("it came back after %v, and told was %v", waited, told)
		}
	})
}

// A message on its way back is not extended beside that: the change of its visibility
// is the same call, and tried as long.
func retryAfterThrottled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		throttled, back time.Duration
	}{
		{throttled: 20 * time.Second, back: 10 * time.Minute},
		{throttled: time.Minute, back: 30 * time.Second},
	} {
		t.Run(fmt.Sprintf("throttled for %v it comes back after %v", c.throttled, c.back), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				throttle := srv.Fail(extendAction, sqstest.Throttle)
				time.AfterFunc(c.throttled, throttle.Stop)
				q.Send(t, "x")
				var r runLog
				start(t, srv, q, r.of(func(_ context.Context, m *holdfast.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					return holdfast.RetryAfter(10*time.Minute, errTest)
				}), consumer.Config{})
				until(t, time.Hour, "done", empty(q))
				runs := r.all()
				if len(runs) != 2 {
					t.Fatalf("%d runs", len(runs))
				}
				if back := runs[1].began.Sub(runs[0].end); back < c.back || back > c.back+c.throttled+5*time.Second {
					t.Errorf("it came back after %v", back)
				}
				if n := srv.Calls(extendAction); n < 5 || n > 40 {
					t.Errorf("%d changes were tried in 29 s, want one every 100 ms to 5 s", n)
				}
			})
		})
	}
}

func retryAfterZero(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(100))
		q.Send(t, "x")
		began, runs := time.Now(), 0
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if runs++; runs < 5 {
				return holdfast.RetryAfter(0, errTest)
			}
			return nil
		}), consumer.Config{})
		until(t, time.Minute, "done", empty(q))
		if took := time.Since(began); took > time.Second {
			t.Errorf("five runs took %v, want no wait between", took)
		}
	})
}

func retryAfterLast(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(2))
		id := q.Send(t, "x")
		var attempts []int
		var last time.Time
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if gap := time.Since(last); len(attempts) > 0 && (gap < time.Minute || gap > time.Minute+time.Second) {
				t.Errorf("run %d came after %v, want 1m", len(attempts)+1, gap)
			}
			last = time.Now()
			attempts = append(attempts, m.Attempt)
			if len(attempts) < 5 {
				return holdfast.RetryAfter(time.Minute, errTest)
			}
			return nil
		}), consumer.Config{})
		until(t, 10*time.Minute, "done", empty(q))
		if diff := cmp.Diff([]int{1, 2, 2, 2, 2}, attempts); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if got := q.Receives(id); got != 2 {
			t.Errorf("received %d times, want 2: one more would have been one too many", got)
		}
		if got := len(q.Deleted()); got != 1 || len(q.DLQ().Messages()) != 0 {
			t.Errorf("%d deleted and %d dead-lettered, want it done", got, len(q.DLQ().Messages()))
		}
	})
}

func retryAfterOutOfBounds(t *testing.T) {
	for _, delay := range []time.Duration{-time.Nanosecond, 12*time.Hour + time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				q.Send(t, "x")
				var rec told
				start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					if m.Attempt == 1 {
						return holdfast.RetryAfter(delay, errTest)
					}
					return nil
				}), consumer.Config{Hooks: rec.hooks()})
				until(t, time.Minute, "done", empty(q))
				list := rec.retried()
				if len(list) != 1 {
					t.Fatalf("retried %d times, want once", len(list))
				}
				want := fmt.Sprintf("RetryAfter delay is %v; it must be 0s to 12h0m0s", delay)
				if got := list[0].Err.Error(); !strings.Contains(got, want) {
					t.Errorf("error %q, want one with %q", got, want)
				}
				if got := list[0].Delay; got <= 0 || got > 2*time.Second {
					t.Errorf("retried after %v, want the backoff of the first attempt", got)
				}
			})
		})
	}
}

func permanentAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		id := q.Send(t, "x")
		began := time.Now()
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			return fmt.Errorf("charge: %w", holdfast.Permanent(errTest))
		}), consumer.Config{})
		until(t, time.Minute, "settled", empty(q))
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v, want no wait", took)
		}
		if got := q.Receives(id); got != 1 {
			t.Errorf("received %d times, want once", got)
		}
		dead := q.DLQ().Messages()
		if len(dead) != 1 {
			t.Fatalf("%d messages in the dead-letter queue, want 1", len(dead))
		}
		c := causeOf(t, dead[0])
		if c.Cause != "permanent" || c.Error != "charge: permanent: test failure" || c.Attempt != 1 {
			t.Errorf("cause %+v, want permanent on attempt 1 with the handler's error", c)
		}
	})
}

func thirdAttempt(t *testing.T) {
	mux := func() holdfast.Handler { return holdfast.NewMux("kind").MustRoute("paid", nothing) }
	for _, c := range []struct {
		name, queue, cause string
		handler            holdfast.Handler
		attempts           int
		receives           int
		options            sqstest.QueueOption
	}{
		{"a body that is not JSON", "q", "undecodable", holdfast.JSON(func(context.Context, order) error { return nil }), 3, 3, sqstest.DLQ(10)},
		{"a body that is not JSON on a FIFO queue", "q.fifo", "undecodable", holdfast.JSON(func(context.Context, order) error { return nil }), 3, 1, sqstest.DLQ(10)},
		{"a message without a route", "q", "no-route", mux(), 3, 3, sqstest.DLQ(10)},
		{"a body that is not JSON where maxReceiveCount is lower", "q", "exhausted", holdfast.JSON(func(context.Context, order) error { return nil }), 2, 2, sqstest.DLQ(2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, c.queue, c.options)
				var opts []sqstest.SendOption
				if strings.HasSuffix(c.queue, ".fifo") {
					opts = append(opts, sqstest.Group("g"))
				}
				id := q.Send(t, "not JSON", opts...)
				var rec told
				start(t, srv, q, c.handler, consumer.Config{Hooks: rec.hooks()})
				until(t, 10*time.Minute, "settled", empty(q))
				dead := q.DLQ().Messages()
				if len(dead) != 1 {
					t.Fatalf("%d messages in the dead-letter queue, want 1", len(dead))
				}
				if got := causeOf(t, dead[0]); got.Cause != c.cause || got.Attempt != c.attempts {
					t.Errorf("cause %+v, want %s on attempt %d", got, c.cause, c.attempts)
				}
				if got := len(rec.ended); got != c.attempts {
					t.Errorf("ran %d times, want %d", got, c.attempts)
				}
				if got := q.Receives(id); got != c.receives {
					t.Errorf("received %d times, want %d", got, c.receives)
				}
			})
		})
	}
}

func exhausted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(4))
		id := q.Send(t, "x")
		var rec told
		start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			return errTest
		}), consumer.Config{Hooks: rec.hooks()})
		until(t, 10*time.Minute, "settled", empty(q))
		dead := q.DLQ().Messages()
		if len(dead) != 1 || dead[0].DeadLetterSource != "" {
			t.Fatalf("dead-letter queue holds %+v, want one message sent by the consumer", dead)
		}
		if c := causeOf(t, dead[0]); c.Cause != "exhausted" || c.Attempt != 4 || c.Error != errTest.Error() {
			t.Errorf("cause %+v, want exhausted on attempt 4", c)
		}
		if got := q.Receives(id); got != 4 {
			t.Errorf("received %d times, want 4", got)
		}
	})
}

func beyondRetention(t *testing.T) {
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				const retention = time.Hour
				srv := sqstest.New(t)
				q := srv.Queue(t, name, sqstest.DLQ(100), sqstest.Retention(retention))
				var opts []sqstest.SendOption
				if strings.HasSuffix(name, ".fifo") {
					opts = append(opts, sqstest.Group("g"))
				}
				q.Send(t, "x", opts...)
				sent := time.Now()
				start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					return holdfast.RetryAfter(25*time.Minute, errTest)
				}), consumer.Config{})
				time.Sleep(2 * retention)
				if !empty(q)() {
					t.Fatalf("after its retention the queue holds %+v", q.Depth())
				}
				dead := q.DLQ().Messages()
				if len(dead) != 1 {
					t.Fatalf("%d messages in the dead-letter queue, want 1", len(dead))
				}
				// Runs at 0, 25 and 50 minutes; the next would be too late.
				if at := dead[0].SentAt.Sub(sent); at < 50*time.Minute || at > 51*time.Minute {
					t.Errorf("it left after %v, want at the last run that is in time", at)
				}
				if c := causeOf(t, dead[0]); c.Cause != "retention" {
					t.Errorf("cause %+v, want retention", c)
				}
			})
		})
	}
}

func nestedVerbs(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want holdfast.Outcome
	}{
		{"Permanent of Discard", holdfast.Permanent(holdfast.Discard(errTest)), holdfast.DeadLettered},
		{"Discard of Permanent", holdfast.Discard(holdfast.Permanent(errTest)), holdfast.Discarded},
		{"RetryAfter of Permanent", holdfast.RetryAfter(time.Second, holdfast.Permanent(errTest)), holdfast.Retried},
		{"Permanent of what cannot be decoded", holdfast.Permanent(&holdfast.DecodeError{Err: errTest}), holdfast.DeadLettered},
		{"RetryAfter of what cannot be decoded", holdfast.RetryAfter(time.Second, &holdfast.DecodeError{Err: errTest}), holdfast.Retried},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				q.Send(t, "x")
				var rec told
				first := true
				start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					if !first {
						return nil
					}
					first = false
					return fmt.Errorf("wrapped: %w", c.err)
				}), consumer.Config{Hooks: rec.hooks()})
				until(t, time.Minute, "settled", empty(q))
				synctest.Wait()
				if got := rec.ended[0].Outcome; got != c.want {
					t.Errorf("outcome %v, want %v", got, c.want)
				}
			})
		})
	}
}
