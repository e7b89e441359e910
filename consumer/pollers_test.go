package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// receives returns the receives that began at or after from.
func receives(srv *sqstest.Server, from time.Time) (list []sqstest.Call) {
	for _, c := range srv.Log() {
		if c.Action == "ReceiveMessage" && !c.At.Before(from) {
			list = append(list, c)
		}
	}
	return list
}

// valve is a middleware with a gate that a test closes and opens.
type valve struct {
	mu       sync.Mutex // guards reopened
	reopened chan struct{}
}

var errValve = errors.New("the valve is shut")

func (v *valve) Wrap(next holdfast.Handler) holdfast.Handler { return next }

func (v *valve) Closed() (<-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.reopened == nil {
		return nil, nil
	}
	return v.reopened, errValve
}

func (v *valve) shut() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reopened = make(chan struct{})
}

func (v *valve) open() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.reopened)
	v.reopened = nil
}

func TestPollers(t *testing.T) {
	t.Parallel()
	t.Run("an idle queue costs one receive per 20 s at any concurrency", func(t *testing.T) {
		for _, concurrency := range []int{1, 50, 1000} {
			t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					start(t, srv, q, nothing, consumer.Config{Concurrency: concurrency})
					time.Sleep(20*time.Minute - time.Second)
					if n := srv.Calls("ReceiveMessage"); n != 60 {
						t.Errorf("%d receives in 20 min; want 60", n)
					}
				})
			})
		}
	})
	t.Run("so it does again soon after a burst", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 20*time.Millisecond)
			q.SendN(t, 3000)
			r := start(t, srv, q, sleeper(50*time.Millisecond), consumer.Config{Concurrency: 200})
			most := 0
			until(t, time.Minute, "the queue is drained", func() bool {
				most = max(most, r.Stats().Pollers)
				return empty(q)()
			})
			if most < 5 {
				t.Errorf("at most %d pollers in the burst", most)
			}
			time.Sleep(time.Minute)
			if n := r.Stats().Pollers; n != 1 {
				t.Errorf("%d pollers a minute after the burst", n)
			}
			from := time.Now()
			time.Sleep(20 * time.Minute)
			if n := len(receives(srv, from)); n < 59 || n > 61 {
				t.Errorf("%d receives in 20 min; want 60", n)
			}
		})
	})
	t.Run("a trickle is not paid for with more receives than messages", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			start(t, srv, q, sleeper(50*time.Millisecond), consumer.Config{})
			for range 100 {
				time.Sleep(time.Second)
				q.Send(t, "{}")
			}
			time.Sleep(time.Second)
			if n := srv.Calls("ReceiveMessage"); n > 110 {
				t.Errorf("%d receives for 100 messages; want about one each", n)
			}
		})
	})
	t.Run("from idle to 200 busy slots takes less than 2 s at 20 ms latency", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 20*time.Millisecond)
			r := start(t, srv, q, sleeper(time.Minute), consumer.Config{Concurrency: 200})
			time.Sleep(time.Hour + 7*time.Second) // idle, in the middle of a long poll
			q.SendN(t, 1000)
			began := time.Now()
			until(t, 2*time.Second, "200 handlers run", func() bool { return r.Stats().Running == 200 })
			t.Logf("after %v", time.Since(began))
			if held := r.Stats().Held; held > 210 {
				t.Errorf("%d messages held for 200 slots of a minute; want no more than a receive ahead", held)
			}
		})
	})
	t.Run("a slow handler in each receive never holds up the fast ones", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 20*time.Millisecond)
			for i := range 1000 {
				body := "fast"
				if i%50 == 0 {
					body = "slow" // 20 of them, for 30 slots
				}
				q.Send(t, body)
			}
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body == "slow" {
					return nap(ctx, 50*time.Minute) // below HandlerTimeout
				}
				return nap(ctx, 10*time.Millisecond)
			}), consumer.Config{Concurrency: 30})
			// The ten slots left do a thousand a second.
			until(t, 3*time.Second, "all fast ones are done", func() bool { return r.Stats().Done == 980 })
			until(t, 2*time.Hour, "all are done", empty(q))
		})
	})
	t.Run("few slots are kept busy all the same", func(t *testing.T) {
		const ms = time.Millisecond
		for _, c := range []struct {
			concurrency   int
			work, latency time.Duration
		}{{1, 5 * ms, 1 * ms}, {1, 5 * ms, 20 * ms}, {1, 100 * ms, 20 * ms}, {2, 5 * ms, 10 * ms}, {10, 5 * ms, 2 * ms}, {10, 5 * ms, 20 * ms}, {10, 50 * ms, 20 * ms}} {
			t.Run(fmt.Sprintf("%d of %v at %v", c.concurrency, c.work, c.latency), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					srv.Delay("ReceiveMessage", c.latency)
					// Prefetch is no limit here: deletes that linger count against it.
					perSlot := int(time.Second / c.work) // in a second at full rate
					q.SendN(t, c.concurrency*(2*perSlot+20))
					r := start(t, srv, q, sleeper(c.work), consumer.Config{Concurrency: c.concurrency, Prefetch: 200})
					time.Sleep(time.Second)
					before := r.Stats().Done
					time.Sleep(time.Second)
					if rate := float64(r.Stats().Done-before) / float64(perSlot*c.concurrency); rate < 0.8 {
						t.Errorf("%.2f of the full rate; want 0.8 at least", rate)
					}
				})
			})
		}
	})
	t.Run("pollers that bring no more than fewer would are not kept", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t, sqstest.LogLimit(0))
			q := srv.Queue(t, "orders")
			q.SendN(t, 16_000)
			// As on a busy processor, where one receive waits for the others.
			client := &oneByOne{srv: srv, turn: make(chan struct{}, 1)}
			r := startWith(t, srv.SQS(func(o *sqs.Options) { o.HTTPClient = client }), q, nothing, consumer.Config{Concurrency: 100})
			time.Sleep(time.Second)
			sum, most := 0, 0
			const looks = 200
			for range looks {
				time.Sleep(10 * time.Millisecond)
				n := r.Stats().Pollers
				sum, most = sum+n, max(most, n)
			}
			if sum > looks*10 || most > 20 {
				t.Errorf("%d pollers on average, %d at most, where two do all there is to do", sum/looks, most)
			}
			if done := r.Stats().Done; done < 3*4500 {
				t.Errorf("%d done in 3 s of 5,000 a second", done)
			}
		})
	})
	t.Run("at the in-flight limit it backs off, says so and goes on", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			over := srv.Fail("ReceiveMessage", sqstest.OverLimit)
			var mu sync.Mutex
			var waits []time.Duration
			cfg := consumer.Config{}
			cfg.Hooks.PollFailed = func(e holdfast.PollFailedEvent) {
				mu.Lock()
				defer mu.Unlock()
				waits = append(waits, e.Backoff)
			}
			r := start(t, srv, q, nothing, cfg)
			time.Sleep(5 * time.Second)
			if err := problem(r, "receive"); err == nil || r.Health().Ready || !r.Health().Live {
				t.Errorf("Health is %+v", r.Health())
			}
			time.Sleep(10 * time.Minute)
			// 5 to 10 s each, once it has got there.
			if n := srv.Calls("ReceiveMessage"); n < 60 || n > 130 {
				t.Errorf("%d receives in 10 min at the limit", n)
			}
			mu.Lock()
			same := true
			for i, w := range waits {
				limit := min(200*time.Millisecond<<min(i, 10), 10*time.Second)
				if w < limit/2 || w > limit {
					t.Errorf("wait %d was %v; want %v to %v", i, w, limit/2, limit)
				}
				same = same && w == waits[len(waits)-1]
			}
			if same {
				t.Error("waits without jitter")
			}
			mu.Unlock()
			over.Stop()
			q.Send(t, "{}")
			until(t, 20*time.Second, "it goes on", empty(q))
			if h := r.Health(); !h.Ready {
				t.Errorf("Health is %+v", h)
			}
		})
	})
	t.Run("a FIFO receive that failed is repeated under the same attempt id, so that no group is stranded", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			for range 10 {
				q.Send(t, "{}", sqstest.Group("g"))
			}
			srv.DropReply("ReceiveMessage", sqstest.Times(1))
			r := start(t, srv, q, nothing, consumer.Config{})
			until(t, 5*time.Second, "the queue is drained", empty(q))
			if s := r.Stats(); s.PollErrors != 1 || s.Done != 10 {
				t.Errorf("Stats is %+v", s)
			}
		})
	})
}

// oneByOne is a connection that does a receive in two milliseconds, one after the other.
type oneByOne struct {
	srv  *sqstest.Server
	turn chan struct{} // held for that time
}

func (c *oneByOne) Do(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".ReceiveMessage") {
		c.turn <- struct{}{}
		time.Sleep(2 * time.Millisecond)
		<-c.turn
	}
	return c.srv.HTTPClient().Do(req)
}

func TestPollersAndGates(t *testing.T) {
	t.Parallel()
	t.Run("no receive is issued after a gate closed, also by pollers that waited for room", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 20*time.Millisecond)
			q.SendN(t, 2000)
			v := &valve{}
			cfg := consumer.Config{Concurrency: 20, Middleware: []holdfast.Middleware{v}}
			var mu sync.Mutex
			var events []holdfast.GateEvent
			cfg.Hooks.Gate = func(e holdfast.GateEvent) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}
			r := start(t, srv, q, sleeper(100*time.Millisecond), cfg)
			time.Sleep(time.Second + time.Millisecond)
			before := srv.Calls("ReceiveMessage")
			v.shut()
			from := time.Now()
			time.Sleep(10 * time.Minute)
			if list := receives(srv, from.Add(1)); len(list) > 0 {
				t.Errorf("%d receives after the gate closed, the first %v later", len(list), list[0].At.Sub(from))
			}
			if s := r.Stats(); s.Held != 0 {
				t.Errorf("%d messages are still held: a gate must not hold up what is here", s.Held)
			}
			if err := problem(r, "gate"); !errors.Is(err, errValve) || r.Health().Ready {
				t.Errorf("Health is %+v", r.Health())
			}
			if before == 0 || q.Depth().Visible == 0 {
				t.Fatal("this shows nothing")
			}
			v.open()
			until(t, time.Minute, "the queue is drained", empty(q))
			if h := r.Health(); !h.Ready {
				t.Errorf("Health is %+v", h)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(events) != 2 || !events[0].Closed || !errors.Is(events[0].Why, errValve) || events[1].Closed {
				t.Errorf("hooks were told %+v", events)
			}
		})
	})
	t.Run("a gate that closes while a long poll waits lets that one end and no other begin", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			v := &valve{}
			r := start(t, srv, q, nothing, consumer.Config{Middleware: []holdfast.Middleware{v}})
			time.Sleep(5 * time.Second)
			v.shut()
			q.Send(t, "{}") // comes by the poll that is open
			until(t, time.Second, "it is done", empty(q))
			q.Send(t, "{}")
			time.Sleep(time.Minute)
			if n := srv.Calls("ReceiveMessage"); n != 1 || q.Depth().Visible != 1 {
				t.Errorf("%d receives", n)
			}
			v.open()
			until(t, time.Second, "it goes on", empty(q))
			if s := r.Stats(); s.Done != 2 {
				t.Errorf("Stats is %+v", s)
			}
		})
	})
	t.Run("a gate that is closed at the start lets nothing begin, and the stop does not wait for it", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "{}")
			v := &valve{}
			v.shut()
			r := start(t, srv, q, nothing, consumer.Config{Middleware: []holdfast.Middleware{v}})
			time.Sleep(time.Hour)
			if n := srv.Calls("ReceiveMessage"); n != 0 {
				t.Errorf("%d receives", n)
			}
			began := time.Now()
			if err := r.stop(); err != nil || time.Since(began) > time.Millisecond {
				t.Errorf("stopped after %v with %v", time.Since(began), err)
			}
			synctest.Wait()
		})
	})
}
