package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// outages are the ways in which all calls fail.
var outages = []struct {
	name  string
	begin func(*sqstest.Server, string) *sqstest.Injected
	slow  bool // an operator must act: red at once, and a longer backoff
}{
	{"throttling", fails(sqstest.Throttle), false},
	{"throttling by SQS itself", fails(sqstest.RequestThrottled), false},
	{"internal errors (500)", fails(sqstest.Internal500), false},
	{"an overloaded service (503)", fails(sqstest.ServiceUnavailable503), false},
	{"cut connections", func(srv *sqstest.Server, action string) *sqstest.Injected { return srv.Cut(action) }, false},
	{"expired credentials", fails(sqstest.ExpiredToken), true},
	{"denied access", fails(sqstest.AccessDenied), true},
}

func fails(f sqstest.Fault) func(*sqstest.Server, string) *sqstest.Injected {
	return func(srv *sqstest.Server, action string) *sqstest.Injected { return srv.Fail(action, f) }
}

// problemOf returns the problem of that name.
func problemOf(c *running, name string) (p consumer.Problem, ok bool) {
	for _, p := range c.Health().Problems {
		if p.Name == name {
			return p, true
		}
	}
	return p, false
}

// healthy tells whether nothing is wrong.
func healthy(c *running) func() bool {
	return func() bool {
		h := c.Health()
		return h.Live && h.Ready && h.State == "running" && len(h.Problems) == 0
	}
}

// backedOff checks the waits between failed calls: each between half and all of
// base doubled per failure up to most, and drawn at random.
func backedOff(t *testing.T, failed []sqstest.Call, base, most time.Duration) {
	t.Helper()
	capped := make(map[time.Duration]bool)
	ceiling := base
	for i := 1; i < len(failed); i++ {
		gap := failed[i].At.Sub(failed[i-1].At)
		if gap < ceiling/2 || gap > ceiling+50*time.Millisecond {
			t.Errorf("wait %d was %v, want %v to %v", i, gap, ceiling/2, ceiling)
		}
		if ceiling == most {
			capped[gap] = true
		}
		ceiling = min(2*ceiling, most)
	}
	if len(capped) < 3 {
		t.Errorf("%d different waits at the longest backoff: no jitter", len(capped))
	}
}

func TestStaysUpThroughOutages(t *testing.T) {
	t.Parallel()
	for _, o := range outages {
		t.Run("when all calls meet "+o.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(20))
				var l effectTimes
				p := newProcess(t, srv, "")
				var mu sync.Mutex
				var events []holdfast.PollFailedEvent
				c := startWith(t, srv.SQS(), q, p.handler(succeeds, &l), consumer.Config{Hooks: holdfast.Hooks{
					PollFailed: func(e holdfast.PollFailedEvent) { mu.Lock(); defer mu.Unlock(); events = append(events, e) },
				}})
				ids := q.SendN(t, 20)
				until(t, time.Second, "the first are done", empty(q))
				if !healthy(c)() {
					t.Fatalf("%+v before the outage", c.Health())
				}

				began := time.Now()
				fault := o.begin(srv, "")
				time.Sleep(25 * time.Second) // the long poll under way ends
				ids = append(ids, q.SendN(t, 20)...)
				time.Sleep(10*time.Minute - 25*time.Second)
				if got := c.Health(); !got.Live || got.Ready {
					t.Errorf("%+v, want live and not ready", got)
				}
				red, ok := problemOf(c, "receive")
				if !ok || red.Since.Before(began) || red.Since.After(began.Add(30*time.Second)) || !strings.Contains(red.Err.Error(), "sqs:ReceiveMessage") || !strings.Contains(red.Err.Error(), q.ARN) {
					t.Errorf("problem: %+v", red)
				}
				if o.slow != errors.As(red.Err, new(*consumer.AccessError)) {
					t.Errorf("problem: %v", red.Err)
				}
				fault.Stop()
				until(t, 31*time.Second, "receiving goes on", func() bool { return q.Depth().Visible == 0 })
				until(t, 10*time.Second, "all are done", empty(q))
				until(t, 25*time.Second, "healthy again", healthy(c))

				var failed []sqstest.Call
				for _, call := range callsOf(srv, "ReceiveMessage") {
					if call.Err != "" {
						failed = append(failed, call)
					}
				}
				if o.slow {
					backedOff(t, failed, 2*time.Second, 30*time.Second)
				} else {
					backedOff(t, failed, 200*time.Millisecond, 10*time.Second)
				}
				mu.Lock()
				told := len(events)
				mu.Unlock()
				// The next outage begins with the shortest backoff again.
				fault = o.begin(srv, "ReceiveMessage")
				until(t, 21*time.Second, "a receive fails again", func() bool { return int(c.Stats().PollErrors) > told })
				fault.Stop()
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				if again := events[told]; again.Failures != 1 {
					t.Errorf("the first failure after the recovery was told as number %d", again.Failures)
				}
				events = events[:told]
				if len(events) != len(failed) || int(c.Stats().PollErrors) <= len(failed) {
					t.Errorf("hooks told of %d failures and Stats of %d, want %d and one more", len(events), c.Stats().PollErrors, len(failed))
				}
				for i, e := range events {
					if e.Err == nil || e.Fatal != o.slow || e.Failures != i+1 || e.Backoff <= 0 {
						t.Errorf("event %d: %+v", i, e)
					}
				}
				for _, id := range ids {
					if n := len(l.effects(id)); n != 1 {
						t.Errorf("message %s had %d effects", id, n)
					}
				}
				if err := c.stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
		t.Run("when deletes meet "+o.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(20))
				var l effectTimes
				p := newProcess(t, srv, "")
				c := startWith(t, srv.SQS(), q, p.handler(succeeds, &l), consumer.Config{})
				until(t, time.Second, "it runs", healthy(c))
				fault := o.begin(srv, "DeleteMessageBatch")
				id := q.Send(t, "order")
				time.Sleep(5 * time.Minute)
				h, ok := problemOf(c, "settle")
				if !ok || !strings.Contains(h.Err.Error(), "sqs:DeleteMessage") || !strings.Contains(h.Err.Error(), q.ARN) || c.Health().Ready || !c.Health().Live {
					t.Errorf("%+v", c.Health())
				}
				fault.Stop()
				until(t, 6*time.Second, "it is deleted", empty(q))
				if !healthy(c)() {
					t.Errorf("%+v after the delete", c.Health())
				}
				// It was held all the time: no second receive, no second effect.
				if n := len(l.effects(id)); n != 1 || q.Receives(id) != 1 {
					t.Errorf("%d effects, %d receives, want 1 and 1", n, q.Receives(id))
				}
				deletes := callsOf(srv, "DeleteMessageBatch")
				backedOff(t, deletes, 100*time.Millisecond, 5*time.Second)
			})
		})
		t.Run("when extensions meet "+o.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(20))
				fault := o.begin(srv, extendAction)
				var told atomic.Int64
				c := startWith(t, srv.SQS(), q, handle(func(ctx context.Context, m *holdfast.Message) error {
					if m.Attempt > 1 {
						return nil
					}
					return workFor(ctx, time.Minute)
				}), consumer.Config{Hooks: holdfast.Hooks{Extended: func(e holdfast.ExtendedEvent) {
					if e.Err != nil && e.Failed == 1 && e.Messages == 0 {
						told.Add(1)
					}
				}}})
				q.Send(t, "order")
				until(t, 25*time.Second, "the hold is short of its end", func() bool { return c.Stats().ExtendCalls > 3 })
				if h, ok := problemOf(c, "extend"); !ok || !strings.Contains(h.Err.Error(), "sqs:ChangeMessageVisibility") || told.Load() < 3 {
					t.Errorf("%+v, hooks told %d times", c.Health(), told.Load())
				}
				until(t, time.Minute, "it is done on the next delivery", empty(q))
				fault.Stop()
				// No handler is slow enough to show that extending works again.
				until(t, 2*time.Minute, "healthy again", healthy(c))
			})
		})
	}
}

func TestStaysUpWithoutItsQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		var l effectTimes
		var most atomic.Int64 // maxReceiveCount as handlers see it
		p := newProcess(t, srv, "")
		h := p.handler(succeeds, &l)
		var fatal atomic.Int64
		c := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			most.Store(int64(m.Queue.MaxReceiveCount))
			if m.Body == "long" {
				return untilCancelled(ctx, m)
			}
			return h.Handle(ctx, m)
		}), consumer.Config{Hooks: holdfast.Hooks{PollFailed: func(e holdfast.PollFailedEvent) {
			if e.Fatal {
				fatal.Add(1)
			}
		}}})
		q.SendN(t, 20)
		until(t, time.Second, "the first are done", empty(q))
		q.Send(t, "long")
		time.Sleep(10 * time.Second)

		if _, err := srv.SQS().DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &q.URL}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		h1, ok := problemOf(c, "receive")
		if !ok || !errors.As(h1.Err, new(*consumer.QueueError)) || c.Health().Ready || !c.Health().Live {
			t.Errorf("%+v", c.Health())
		}
		if fatal.Load() < 5 {
			t.Errorf("hooks told of %d failures", fatal.Load())
		}
		if s := c.Stats(); s.Held != 0 || s.LeasesLost != 1 {
			t.Errorf("%+v, want what was held to be let go", s)
		}

		again := srv.Queue(t, "orders", sqstest.QueueAttribute("RedrivePolicy",
			fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":7}`, q.DLQ().ARN)))
		ids := again.SendN(t, 20)
		until(t, 45*time.Second, "those of the new queue are done", empty(again))
		for _, id := range ids {
			if n := len(l.effects(id)); n != 1 {
				t.Errorf("message %s had %d effects", id, n)
			}
		}
		until(t, time.Minute, "healthy again", healthy(c))
		again.SendN(t, 1)
		until(t, time.Second, "done", empty(again))
		if most.Load() != 7 {
			t.Errorf("maxReceiveCount is %d: the new queue's attributes were not read", most.Load())
		}
		if err := c.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestStaysUpWithBadHandlers(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"orders", "orders.fifo"} {
		t.Run("that panic or end their goroutine, on "+queue, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, queue, sqstest.DLQ(5))
				var l effectTimes
				var panics, goexits, others atomic.Int64
				c := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
					if err := workFor(ctx, 10*time.Millisecond); err != nil {
						return err
					}
					if m.Attempt == 1 {
						switch m.Body[len(m.Body)-2] { // {"n":17}
						case '0', '1', '2':
							panic("test")
						case '3', '4', '5':
							runtime.Goexit()
						case '6':
							// A runtime error, not a call of panic.
							_ = m.Body[:len(m.Body)+m.Attempt]
						}
					}
					l.add(m.ID)
					return nil
				}), consumer.Config{Concurrency: 4, Hooks: holdfast.Hooks{Finished: func(e holdfast.FinishedEvent) {
					var p *holdfast.PanicError
					switch {
					case !errors.As(e.Err, &p):
						others.Add(1)
					case len(p.Stack) == 0 || !strings.Contains(string(p.Stack), "staysup_test.go"):
						t.Errorf("no stack in %v", p)
					case p.Goexit:
						goexits.Add(1)
					default:
						panics.Add(1)
					}
				}}})
				var ids []string
				for i := range 10 {
					ids = append(ids, q.SendN(t, 10, groupOn(queue, fmt.Sprint(i))...)...)
				}
				until(t, time.Minute, "all are done", empty(q))
				for _, id := range ids {
					if n := len(l.effects(id)); n != 1 {
						t.Errorf("message %s had %d effects", id, n)
					}
				}
				if panics.Load() != 40 || goexits.Load() != 30 || others.Load() != 100 {
					t.Errorf("%d panics, %d Goexits, %d others, want 40, 30, 100", panics.Load(), goexits.Load(), others.Load())
				}
				if s := c.Stats(); s.Panics != 70 || s.Retried != 70 || s.Running != 0 {
					t.Errorf("%+v, want 70 panics, 70 retried, none running", s)
				}
				if !healthy(c)() {
					t.Errorf("%+v", c.Health())
				}
				// All slots are there still.
				for i := range 8 {
					q.Send(t, "done at once ...", groupOn(queue, "slot"+fmt.Sprint(i))...)
				}
				before := time.Now()
				until(t, time.Second, "done", empty(q))
				if took := time.Since(before); took > 200*time.Millisecond {
					t.Errorf("8 messages of 10 ms took 4 slots %v", took)
				}
				if err := c.stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
	t.Run("that are deaf to their context", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(20))
			release := make(chan struct{})
			var deaf, abandoned atomic.Int64
			c := start(t, srv, q, handle(func(_ context.Context, m *holdfast.Message) error {
				if m.Body == "deaf" && m.Attempt == 1 {
					deaf.Add(1)
					<-release
				}
				return nil
			}), consumer.Config{Concurrency: 3, HandlerTimeout: time.Minute, Hooks: holdfast.Hooks{
				Abandoned: func(e holdfast.AbandonedEvent) {
					if strings.Contains(e.Stack, "staysup_test.go") && e.Running >= 2*time.Minute {
						abandoned.Add(1)
					}
				},
			}})
			q.Send(t, "deaf")
			for range 10 {
				q.SendN(t, 10)
				time.Sleep(30 * time.Second)
			}
			until(t, time.Minute, "the others are done, and the message of the deaf one as well", empty(q))
			if deaf.Load() != 1 || abandoned.Load() != 1 || c.Stats().Abandoned != 1 {
				t.Errorf("%d deaf, %d told of, %+v", deaf.Load(), abandoned.Load(), c.Stats())
			}
			if p, ok := problemOf(c, "abandoned"); !ok || !c.Health().Live || !c.Health().Ready || !strings.Contains(p.Err.Error(), "1 of 3") {
				t.Errorf("%+v, want live and ready, with the problem told", c.Health())
			}
			close(release)
			until(t, time.Second, "healthy again", healthy(c))
			if err := c.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	})
}

// groupOn is the message group where the queue is FIFO.
func groupOn(queue, group string) []sqstest.SendOption {
	if strings.HasSuffix(queue, ".fifo") {
		return []sqstest.SendOption{sqstest.Group(group)}
	}
	return nil
}

// rude is a middleware that panics where the runtime calls it beside the handler.
type rude struct{ settled atomic.Int64 }

func (r *rude) Wrap(next holdfast.Handler) holdfast.Handler { return next }

func (r *rude) Settled(*holdfast.Message, error) {
	r.settled.Add(1)
	panic("test")
}

// doors is a gate.
type doors struct {
	holdfast.Middleware
	mu     sync.Mutex // guards closed
	closed chan struct{}
}

func (d *doors) Closed() (<-chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed == nil {
		return nil, nil
	}
	return d.closed, errTest
}

func (d *doors) shut(shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !shut {
		close(d.closed)
		d.closed = nil
	} else {
		d.closed = make(chan struct{})
	}
}

func TestStaysUpWithPanickingHooks(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		// Every hook there is, also those that are added later.
		var hooks holdfast.Hooks
		var mu sync.Mutex
		called := make(map[string]int)
		for v, i := reflect.ValueOf(&hooks).Elem(), 0; i < v.NumField(); i++ {
			name := v.Type().Field(i).Name
			v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func([]reflect.Value) []reflect.Value {
				mu.Lock()
				called[name]++
				mu.Unlock()
				panic("test")
			}))
		}
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(20))
		gate := &doors{Middleware: holdfast.MiddlewareFunc(func(next holdfast.Handler) holdfast.Handler { return next })}
		mw := &rude{}
		srv.FailEntries(extendAction, "ReceiptHandleIsInvalid", true, sqstest.Times(1))
		srv.Fail("ReceiveMessage", sqstest.Internal500, sqstest.After(1), sqstest.Times(1))
		release := make(chan struct{})
		var l effectTimes
		c := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt > 1 {
				l.add(m.ID)
				return nil
			}
			switch m.Body {
			case "fails":
				return errTest
			case "panics":
				panic("test")
			case "parks":
				if l.effects("parked") == nil {
					l.add("parked")
					ready := make(chan struct{})
					close(ready)
					return holdfast.Park(ready, errTest)
				}
			case "is refused":
				return holdfast.Permanent(errTest)
			case "is lost":
				return workFor(ctx, time.Minute)
			case "renews":
				lease, _ := holdfast.LeaseFrom(ctx)
				lease.OnRenew(func(time.Time, error) {
					l.add("renewed")
					panic("test")
				})
				if err := workFor(ctx, 80*time.Second); err != nil {
					return err
				}
			case "is deaf":
				<-release
			}
			l.add(m.ID)
			return nil
		}), consumer.Config{HandlerTimeout: 90 * time.Second, Middleware: []holdfast.Middleware{gate, mw}, Hooks: hooks})
		q.Send(t, "is lost")
		time.Sleep(20 * time.Second)
		for _, body := range []string{"succeeds", "fails", "panics", "parks", "is refused", "renews", "is deaf"} {
			q.Send(t, body)
		}
		until(t, 5*time.Minute, "all are done", empty(q))
		gate.shut(true)
		time.Sleep(30 * time.Second)
		gate.shut(false)
		id := q.Send(t, "succeeds")
		until(t, time.Minute, "it works still", empty(q))
		close(release)
		until(t, time.Second, "healthy", healthy(c))
		if len(l.effects(id)) != 1 || len(l.effects("renewed")) < 4 {
			t.Errorf("%d effects, %d renewals", len(l.effects(id)), len(l.effects("renewed")))
		}
		mu.Lock()
		defer mu.Unlock()
		for typ, i := reflect.TypeOf(hooks), 0; i < typ.NumField(); i++ {
			if called[typ.Field(i).Name] == 0 {
				t.Errorf("hook %s was never called: the test shows nothing of it", typ.Field(i).Name)
			}
		}
		if mw.settled.Load() < 8 {
			t.Errorf("Settled was called %d times", mw.settled.Load())
		}
	})
}

func TestStaysUpStartsOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	// run runs a consumer that is to fail at start.
	run := func(t *testing.T, client *sqs.Client, queue string) error {
		t.Helper()
		c, err := consumer.New(client, queue, nothing, consumer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		err = c.Run(ctx)
		if took := time.Since(began); took > 0 {
			t.Errorf("Run returned after %v, want at once", took)
		}
		if err == nil {
			t.Fatal("Run returned nil")
		}
		if h := c.Health(); h.Live || h.Ready || h.State != "stopped" {
			t.Errorf("%+v", h)
		}
		return err
	}
	for what, queue := range map[string]string{
		"name": "missing",
		"ARN":  "arn:aws:sqs:us-east-1:000000000000:missing",
		"URL":  "https://sqs.us-east-1.amazonaws.com/000000000000/missing",
	} {
		t.Run("a queue that is missing ends Run at once, given by "+what, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				err := run(t, srv.SQS(), queue)
				var missing *consumer.QueueError
				if !errors.As(err, &missing) || missing.Queue != queue || missing.Region != "us-east-1" {
					t.Fatalf("%#v", err)
				}
				for _, word := range []string{queue, "us-east-1", "create it"} {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q does not say %q", err, word)
					}
				}
			})
		})
	}
	for _, action := range []string{"GetQueueUrl", "GetQueueAttributes", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"} {
		t.Run("a denied sqs:"+action+" ends Run at once with the action and the ARN", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				srv.Authorize(func(asked, _ string) error {
					if asked == action {
						return errTest
					}
					return nil
				})
				err := run(t, srv.SQS(), "orders")
				var denied *consumer.AccessError
				if !errors.As(err, &denied) || denied.Action != "sqs:"+action {
					t.Fatalf("%#v", err)
				}
				// Without the URL the account is not known.
				arn := q.ARN
				if action == "GetQueueUrl" {
					arn = strings.Replace(arn, sqstest.Account, "*", 1)
				}
				for _, word := range []string{"sqs:" + action, arn, "allow it"} {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q does not say %q", err, word)
					}
				}
			})
		})
	}
	for _, action := range []string{"", "GetQueueUrl", "GetQueueAttributes", "DeleteMessage"} {
		for _, o := range outages[:5] {
			what := "any call"
			if action != "" {
				what = "sqs:" + action
			}
			t.Run(fmt.Sprintf("%s of %s is tried again with backoff", o.name, what), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					fault := o.begin(srv, action)
					c, err := consumer.New(srv.SQS(), "orders", nothing, consumer.Config{})
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					done := make(chan error, 1)
					go func() { done <- c.Run(ctx) }()
					time.Sleep(3 * time.Minute)
					if action != "DeleteMessage" {
						h := c.Health()
						if h.Ready || !h.Live || h.State != "starting" || len(h.Problems) != 1 || h.Problems[0].Name != "start" {
							t.Errorf("%+v", h)
						}
						first := action
						if first == "" {
							first = "GetQueueUrl"
						}
						backedOff(t, callsOf(srv, first), 500*time.Millisecond, 15*time.Second)
					}
					fault.Stop()
					q.Send(t, "order")
					until(t, 16*time.Second, "it works", empty(q))
					if h := c.Health(); !h.Ready || len(h.Problems) != 0 {
						t.Errorf("%+v", h)
					}
					cancel()
					if err := <-done; err != nil {
						t.Errorf("Run: %v", err)
					}
				})
			})
		}
	}
	t.Run("a cancel while it cannot start ends Run without an error", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Fail("", sqstest.Internal500)
			c := start(t, srv, q, nothing, consumer.Config{})
			time.Sleep(time.Minute)
			began := time.Now()
			if err := c.stop(); err != nil || time.Since(began) > 0 {
				t.Errorf("Run returned %v after %v", err, time.Since(began))
			}
		})
	})
}

func TestStaysUpWhenCallsHang(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		action string
		job    job
		cut    time.Duration
	}{
		{"DeleteMessageBatch", succeeds, 5 * time.Second},
		{extendAction, takesLong, 5 * time.Second},
		{extendAction, failsOnce, 5 * time.Second},
		{"SendMessage", isRefused, 5 * time.Second},
		{"ReceiveMessage", succeeds, 30 * time.Second},
		{"GetQueueAttributes", succeeds, 10 * time.Second},
		{"DeleteMessage", succeeds, 10 * time.Second},
	} {
		t.Run(fmt.Sprintf("%s (job %d) is cut after %v and made again", c.action, c.job, c.cut), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(20))
				srv.Hang(c.action, sqstest.Times(1))
				id := q.Send(t, "order")
				var l effectTimes
				p := newProcess(t, srv, "")
				k := startWith(t, srv.SQS(), q, p.handler(c.job, &l), consumer.Config{})
				until(t, 2*time.Minute, "the message ends", empty(q))
				all := callsOf(srv, c.action)
				if all[0].Took != c.cut || len(all) < 2 && c.action != "DeleteMessage" {
					t.Errorf("calls: %+v, want the first cut after %v and another", all, c.cut)
				}
				if len(all) > 1 {
					if wait := all[1].At.Sub(all[0].At.Add(all[0].Took)); wait > time.Second {
						t.Errorf("made again %v after the cut", wait)
					}
				}
				if c.job != isRefused && len(l.effects(id)) != 1 || len(q.DLQ().Messages()) > 1 {
					t.Errorf("%d effects, %d copies in the dead-letter queue", len(l.effects(id)), len(q.DLQ().Messages()))
				}
				receives := 1
				if c.job == failsOnce {
					receives = 2
				}
				if n := q.Receives(id); n != receives {
					t.Errorf("received %d times, want %d", n, receives)
				}
				until(t, time.Minute, "healthy", healthy(k))
			})
		})
	}
}

// On the network: a call that hangs is made again on another connection, as the
// first one may be dead without anyone having told.
func TestStaysUpOnANewConnection(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders")
	id := q.Send(t, "order")
	type try struct {
		from string
		at   time.Time
	}
	tries := make(chan try, 10)
	stop := make(chan struct{})
	var swallowed atomic.Bool
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteMessageBatch") {
			tries <- try{r.RemoteAddr, time.Now()}
			if swallowed.CompareAndSwap(false, true) {
				// Neither an answer nor an end of the connection.
				<-stop
				return
			}
		}
		srv.Handler().ServeHTTP(w, r)
	})
	url := listen(t, front)
	t.Cleanup(func() { close(stop) })
	done := make(chan struct{})
	c, err := consumer.New(srv.SQS(sqstest.At(url)), q.URL, nothing, consumer.Config{
		Wait: time.Second, Hooks: holdfast.Hooks{Settled: func(holdfast.SettledEvent) { close(done) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Error("the message was not deleted in time")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if got := q.Deleted(); len(got) != 1 || got[0] != id {
		t.Fatalf("deleted: %v", got)
	}
	first, second := <-tries, <-tries
	if first.from == second.from {
		t.Errorf("the second try came on the connection of the first, %s", first.from)
	}
	// That it is cut after 5 s sharp is shown in virtual time.
	if wait := second.at.Sub(first.at); wait < 4*time.Second {
		t.Errorf("the second try came %v after the first, want 5 s", wait)
	}
}

// listen serves h on a port of the loopback until the test ends.
func listen(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close() // Serve reports the same
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}
