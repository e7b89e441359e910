package consumer_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// took stops r and returns how long that took and what Run returned.
func took(r *running) (time.Duration, error) {
	began := time.Now()
	err := r.stop()
	return time.Since(began), err
}

func TestCleanStop(t *testing.T) {
	t.Parallel()
	t.Run("a long poll under way is cut after PollGrace and counted", func(t *testing.T) {
		for grace, want := range map[time.Duration]time.Duration{0: 2 * time.Second, 5 * time.Second: 5 * time.Second, -1: 0} {
			t.Run(fmt.Sprint(grace), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders")
					r := start(t, srv, q, nothing, consumer.Config{PollGrace: grace})
					time.Sleep(5 * time.Second)
					if q.Polls() != 1 {
						t.Fatal("no poll is open")
					}
					d, err := took(r)
					if err != nil || d != want {
						t.Errorf("stopped after %v with %v; want %v", d, err, want)
					}
					if n := srv.Calls("ReceiveMessage"); n != 1 || r.Stats().PollsCut != 1 {
						t.Errorf("%d receives, Stats %+v; want one, cut", n, r.Stats())
					}
				})
			})
		}
	})
	t.Run("a reply that arrives during the stop is run while the drain lasts", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			r := start(t, srv, q, sleeper(10*time.Second), consumer.Config{})
			time.Sleep(5 * time.Second)
			r.cancel()
			time.Sleep(time.Second)
			id := q.Send(t, "{}")
			<-r.done
			if r.err != nil || len(q.Deleted()) != 1 || q.Receives(id) != 1 {
				t.Errorf("Run returned %v, Stats %+v", r.err, r.Stats())
			}
			if n := srv.Calls("ReceiveMessage"); n != 1 {
				t.Errorf("%d receives; want no new one", n)
			}
		})
	})
	t.Run("what arrived and found no slot until the drain was over is given back at once", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			srv.Delay("ReceiveMessage", 3*time.Second)
			var ran effects
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				ran.add(m.Body)
				return nap(ctx, time.Hour)
			}), consumer.Config{Concurrency: 1, PollGrace: 5 * time.Second})
			time.Sleep(time.Second)
			r.cancel()
			// Four of one group and six of others come by the poll under way.
			for i := range 10 {
				q.Send(t, fmt.Sprint(i), sqstest.Group(fmt.Sprint(max(0, i-3))))
			}
			<-r.done
			if r.err != nil || len(ran.all()) != 1 {
				t.Errorf("Run returned %v, and %v ran", r.err, ran.all())
			}
			if got := q.Depth(); q.MaxInFlight() != 10 || got != (sqstest.Depth{Visible: 10}) {
				t.Errorf("the queue is %+v, %d were held; want all given back", got, q.MaxInFlight())
			}
			if s := r.Stats(); s.GaveBack != 10 {
				t.Errorf("Stats is %+v", s)
			}
		})
	})
	t.Run("a reply on its way when the poll is cut is run or given back, and not left hidden", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Delay("ReceiveMessage", 300*time.Millisecond, sqstest.OnReply())
			r := start(t, srv, q, sleeper(time.Minute), consumer.Config{Concurrency: 10})
			time.Sleep(time.Second)
			q.SendN(t, 10)
			time.Sleep(100 * time.Millisecond) // received in SQS, not yet here
			d, err := took(r)
			if err != nil || d > 21*time.Second {
				t.Errorf("stopped after %v with %v", d, err)
			}
			if got := q.Depth(); got != (sqstest.Depth{Visible: 10}) {
				t.Errorf("the queue is %+v; want all ten given back", got)
			}
		})
	})
	t.Run("handlers have the drain, then their contexts end with ErrStopping, and what they return is no failure", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(1)) // one failed attempt would dead-letter
			q.SendN(t, 10)
			var cancelled effects
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				began := time.Now()
				err := nap(ctx, time.Hour)
				cancelled.add(fmt.Sprint(time.Since(began).Round(time.Second), " ", errors.Is(err, holdfast.ErrStopping)))
				return fmt.Errorf("work: %w", ctx.Err())
			}), consumer.Config{Concurrency: 10})
			time.Sleep(time.Second)
			d, err := took(r)
			if err != nil || d < 19*time.Second || d > 20*time.Second {
				t.Errorf("stopped after %v with %v; want the drain, 19 s, and the return", d, err)
			}
			if n := cancelled.count("20s true"); n != 10 {
				t.Errorf("handlers saw %v", cancelled.all())
			}
			if got := q.Depth(); got != (sqstest.Depth{Visible: 10}) {
				t.Errorf("the queue is %+v; want all given back with visibility 0", got)
			}
			if s := r.Stats(); s.GaveBack != 10 || s.Retried+s.DeadLettered != 0 {
				t.Errorf("Stats is %+v", s)
			}
			if h := r.Health(); h.State != "stopped" || h.Ready || !h.Live {
				t.Errorf("Health is %+v", h)
			}
		})
	})
	t.Run("deaf handlers, a 20 s poll and a throttled queue do not hold it beyond StopTimeout", func(t *testing.T) {
		for _, timeout := range []time.Duration{time.Second, 25 * time.Second, 5 * time.Minute} {
			t.Run(fmt.Sprint(timeout), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					srv := sqstest.New(t)
					q := srv.Queue(t, "orders", sqstest.DLQ(10))
					for _, body := range []string{"deaf", "deaf", "done", "fails", "dead", "parked"} {
						q.Send(t, body)
					}
					release := make(chan struct{})
					var stacks effects
					cfg := consumer.Config{Concurrency: 20, StopTimeout: timeout}
					cfg.Hooks.Abandoned = func(e holdfast.AbandonedEvent) {
						if strings.Contains(e.Stack, "TestCleanStop") {
							stacks.add(e.Message.Body)
						}
					}
					for _, action := range []string{"DeleteMessageBatch", "ChangeMessageVisibilityBatch", "SendMessage"} {
						srv.Fail(action, sqstest.Throttle)
					}
					r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
						switch m.Body {
						case "deaf":
							<-release
						case "fails":
							return errTest
						case "dead":
							return holdfast.Permanent(errTest)
						case "parked":
							return holdfast.Park(release, errTest)
						}
						return nil
					}), cfg)
					time.Sleep(3 * time.Second)
					if q.Polls() == 0 {
						t.Fatal("no poll is open")
					}
					d, err := took(r)
					var stop *consumer.StopError
					if !errors.As(err, &stop) || stop.Handlers != 2 || stop.Unsettled < 2 {
						t.Errorf("Run returned %v", err)
					}
					if d > timeout {
						t.Errorf("stopped after %v; StopTimeout is %v", d, timeout)
					}
					if stacks.count("deaf") != 2 {
						t.Errorf("shown as abandoned: %v", stacks.all())
					}
					calls := srv.Calls("")
					time.Sleep(10 * time.Minute)
					if n := srv.Calls("") - calls; n != 0 {
						t.Errorf("%d calls after Run had returned", n)
					}
					if s := r.Stats(); s.Settling != 0 {
						t.Errorf("Stats is %+v", s)
					}
					close(release)
					time.Sleep(time.Second)
					if n := srv.Calls("") - calls; n != 0 {
						t.Errorf("%d calls after Run had returned", n)
					}
					// Nothing is lost: all is visible again.
					if got := q.Depth(); got.Visible != 6 || got.InFlight != 0 {
						t.Errorf("the queue is %+v", got)
					}
				})
			})
		}
	})
	t.Run("calls that never answer do not hold it either", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 30)
			srv.Hang("DeleteMessageBatch")
			srv.Hang("ChangeMessageVisibilityBatch")
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body > `{"n":2` {
					return nap(ctx, time.Hour)
				}
				return nil
			}), consumer.Config{Concurrency: 30})
			time.Sleep(time.Minute)
			d, err := took(r)
			if !errors.As(err, new(*consumer.StopError)) || d > 25*time.Second {
				t.Errorf("stopped after %v with %v", d, err)
			}
		})
	})
	t.Run("acknowledgements are flushed at the cancel, not after their linger", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.Send(t, "long")
			q.Send(t, "short")
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body == "long" {
					return nap(ctx, time.Hour)
				}
				return nap(ctx, time.Second)
			}), consumer.Config{DeleteLinger: time.Second})
			time.Sleep(1500 * time.Millisecond)
			if len(q.Deleted()) != 0 {
				t.Fatal("it did not linger")
			}
			cancelled := time.Now()
			r.cancel()
			<-r.done
			if d := q.Deletions(); len(d) != 1 || d[0].Body != "short" || !d[0].At.Equal(cancelled) {
				t.Errorf("deletions %+v; want the short one at %v", d, cancelled)
			}
		})
	})
	t.Run("acknowledgements of the last moment are flushed at the end, although the context is cancelled", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 7)
			srv.Delay("DeleteMessageBatch", 2*time.Second)
			srv.Fail("DeleteMessageBatch", sqstest.Throttle, sqstest.Times(1))
			deaf := make(chan struct{})
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body == `{"n":0}` {
					<-deaf
					return nil
				}
				<-ctx.Done()
				time.Sleep(500 * time.Millisecond)
				return nil // done after all
			}), consumer.Config{DeleteLinger: time.Second})
			time.Sleep(time.Second)
			d, err := took(r)
			var stop *consumer.StopError
			if !errors.As(err, &stop) || stop.Handlers != 1 || d > 25*time.Second {
				t.Errorf("stopped after %v with %v", d, err)
			}
			if n := len(q.Deleted()); n != 6 {
				t.Errorf("%d of 6 acknowledgements arrived", n)
			}
			close(deaf)
		})
	})
	t.Run("parked and delayed messages are given back", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			for i := range 10 {
				q.Send(t, "delayed", sqstest.Group("d"))
				q.Send(t, "parked", sqstest.Group(fmt.Sprint(i)))
			}
			r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body == "parked" {
					return holdfast.Park(make(chan struct{}), errTest)
				}
				return holdfast.RetryAfter(time.Hour, errTest)
			}), consumer.Config{Concurrency: 20})
			time.Sleep(5 * time.Second)
			if s := r.Stats(); s.Parked != 10 || s.Waiting != 10 {
				t.Fatalf("Stats is %+v", s)
			}
			d, err := took(r)
			if err != nil || d > 2200*time.Millisecond {
				t.Errorf("stopped after %v with %v; nothing ran, so only the poll's grace and the time for SQS to hear of its end", d, err)
			}
			if got := q.Depth(); got != (sqstest.Depth{Visible: 20}) {
				t.Errorf("the queue is %+v; want all given back", got)
			}
		})
	})
	t.Run("StopNow cuts the poll and the handlers at once", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 5)
			r := start(t, srv, q, sleeper(time.Hour), consumer.Config{PollGrace: 20 * time.Second})
			time.Sleep(5 * time.Second)
			began := time.Now()
			r.cancel()
			time.Sleep(time.Second)
			if q.Polls() != 1 {
				t.Fatal("no poll is open")
			}
			r.StopNow()
			r.StopNow() // twice does no harm
			<-r.done
			// And the time for SQS to hear of the cut.
			if d := time.Since(began); r.err != nil || d != 1200*time.Millisecond {
				t.Errorf("stopped after %v with %v; want 1.2s", d, r.err)
			}
			if got := q.Depth(); got != (sqstest.Depth{Visible: 5}) || r.Stats().PollsCut != 1 {
				t.Errorf("the queue is %+v, Stats %+v", got, r.Stats())
			}
		})
	})
	t.Run("what is given back does not go into a poll of which SQS does not know yet that it was cut", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			id := q.Send(t, "x")
			slow := &slowToHangUp{srv: srv}
			r := startWith(t, srv.SQS(func(o *sqs.Options) { o.HTTPClient = slow }), q, sleeper(time.Hour), consumer.Config{PollGrace: 20 * time.Second})
			time.Sleep(5 * time.Second)
			r.cancel()
			time.Sleep(time.Second)
			r.StopNow()
			<-r.done
			synctest.Wait()
			if got := q.Depth(); got != (sqstest.Depth{Visible: 1}) || q.Receives(id) != 1 {
				t.Errorf("the queue is %+v after %d receives; the message went into the cut poll", got, q.Receives(id))
			}
			time.Sleep(time.Second) // for the poll to end
		})
	})
	t.Run("StopNow alone stops nothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			r := start(t, srv, q, sleeper(time.Second), consumer.Config{})
			r.StopNow()
			q.SendN(t, 5)
			until(t, time.Minute, "all is done", empty(q))
		})
	})
	t.Run("a stop during the start and its backoff ends it at once", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			srv.Fail("GetQueueAttributes", sqstest.Internal500)
			r := start(t, srv, q, nothing, consumer.Config{})
			time.Sleep(time.Minute)
			if h := r.Health(); h.State != "starting" || problem(r, "start") == nil {
				t.Errorf("Health is %+v", h)
			}
			if d, err := took(r); err != nil || d > time.Millisecond {
				t.Errorf("stopped after %v with %v", d, err)
			}
		})
	})
}

// slowToHangUp is a connection on which the end of a call is heard 100 ms late.
type slowToHangUp struct{ srv *sqstest.Server }

func (c *slowToHangUp) Do(req *http.Request) (*http.Response, error) {
	type answer struct {
		*http.Response
		error
	}
	ctx, hangUp := context.WithCancel(context.WithoutCancel(req.Context()))
	answers := make(chan answer, 1)
	go func() {
		res, err := c.srv.HTTPClient().Do(req.WithContext(ctx))
		answers <- answer{res, err}
	}()
	select {
	case a := <-answers:
		hangUp()
		return a.Response, a.error
	case <-req.Context().Done():
		time.AfterFunc(100*time.Millisecond, hangUp)
		return nil, req.Context().Err()
	}
}

// workerVariable makes the test binary a worker process: see TestMain.
const workerVariable = "HOLDFAST_TEST_WORKER"

// stopVariable is the StopTimeout of such a process.
const stopVariable = "HOLDFAST_TEST_STOP_TIMEOUT"

// TestMain turns a copy of this test binary into a worker on the queue and endpoint
// in its environment, so that signals can be shown on real processes.
func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) == "" {
		useTheMachine()
		os.Exit(m.Run())
	}
	if err := work(os.Getenv("HOLDFAST_TEST_ENDPOINT"), os.Getenv(workerVariable)); err != nil {
		fmt.Fprintln(os.Stdout, "ended with", err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "ended in order")
	os.Exit(0)
}

// useTheMachine lets the tests of this binary take less time. Bubbles allocate much
// and keep little, so the collector runs seldom, as long as there is memory; and
// what waits for real processes does not keep a bubble from its processor. GOGC and
// -parallel overrule both.
func useTheMachine() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(256 << 20)
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set(fmt.Sprint(2 * runtime.GOMAXPROCS(0)))
	}
}

func work(endpoint, queue string) error {
	client := sqs.New(sqs.Options{
		BaseEndpoint: &endpoint, Region: sqstest.Region,
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("test", "test", "")),
	})
	h := handle(func(ctx context.Context, m *holdfast.Message) error {
		fmt.Fprintln(os.Stdout, "started", m.ID)
		if m.Body == "deaf" {
			select {}
		}
		d, err := time.ParseDuration(m.Body)
		if err != nil {
			return err
		}
		if err := nap(ctx, d); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, "done", m.ID)
		return nil
	})
	timeout, err := time.ParseDuration(os.Getenv(stopVariable))
	if err != nil {
		return err
	}
	c, err := consumer.New(client, queue, h, consumer.Config{StopTimeout: timeout, PollGrace: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	return holdfast.Run(context.Background(), c)
}

// child is a worker in a process of its own.
type child struct {
	*exec.Cmd
	mu    sync.Mutex // guards lines
	lines []string
	seen  chan string // each line
	ended chan struct{}
}

func spawn(t *testing.T, endpoint, queue string, stopTimeout time.Duration) *child {
	t.Helper()
	p := &child{Cmd: exec.Command(os.Args[0]), seen: make(chan string, 10_000), ended: make(chan struct{})}
	p.Env = append(os.Environ(), workerVariable+"="+queue, "HOLDFAST_TEST_ENDPOINT="+endpoint, stopVariable+"="+stopTimeout.String(),
		"GORACE=atexit_sleep_ms=0") // the race detector's own second at the exit is not ours
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stderr = p.Stdout
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			p.mu.Unlock()
			p.seen <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill() // it has ended, unless the test failed
		<-p.ended
		_ = p.Wait()
	})
	return p
}

// awaitStarted waits for n handlers to say that they started.
func (p *child) awaitStarted(t *testing.T, n int) {
	t.Helper()
	const prefix = "started"
	limit := time.After(time.Minute)
	for n > 0 {
		select {
		case line := <-p.seen:
			if strings.HasPrefix(line, prefix) {
				n--
			}
		case <-limit:
			t.Fatalf("%d lines %q are missing in %q", n, prefix, p.output())
		}
	}
}

func (p *child) output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// exit waits for the end and returns the exit status and how long it took.
func (p *child) exit() (status int, took time.Duration) {
	began := time.Now()
	<-p.ended
	_ = p.Wait() // tells of the status by an error too
	return p.ProcessState.ExitCode(), time.Since(began)
}

// signal sends SIGTERM.
func (p *child) signal(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// awaitPolls waits until n polls of q are open.
func awaitPolls(t *testing.T, q *sqstest.Queue, n int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); q.Polls() != n; {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d polls are open, want %d", q.Polls(), n)
		}
	}
}

// Virtual time shows when exactly a stop ends. Here are real processes, on a machine
// that may be busy: the limits tell only a stop that waits for what it must not wait
// for from one that does not.
func TestCleanStopOfProcesses(t *testing.T) {
	t.Parallel()
	const soon = 30 * time.Second
	t.Run("SIGTERM drains what is short, gives back what is long and ends with status 0", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		for range 5 {
			q.Send(t, "300ms")
			q.Send(t, "1h")
		}
		p := spawn(t, srv.Listen(t), q.Name, 5*time.Second)
		p.awaitStarted(t, 10)
		p.signal(t)
		status, took := p.exit()
		if status != 0 || took > soon {
			t.Errorf("status %d after %v, said %q", status, took, p.output())
		}
		if got := q.Depth(); len(q.Deleted()) != 5 || got != (sqstest.Depth{Visible: 5}) {
			t.Errorf("%d deleted and the queue is %+v; want 5 and 5 given back", len(q.Deleted()), got)
		}
	})
	t.Run("a deaf handler is left behind, within the time, with status 1, and its message is not lost", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		q.Send(t, "deaf")
		q.Send(t, "1ms")
		p := spawn(t, srv.Listen(t), q.Name, 5*time.Second)
		p.awaitStarted(t, 2)
		p.signal(t)
		status, took := p.exit()
		if status != 1 || took > soon {
			t.Errorf("status %d after %v, said %q", status, took, p.output())
		}
		if n := len(q.Deleted()); n != 1 {
			t.Errorf("%d deleted; want what was done and not what the deaf one has", n)
		}
		if got := q.Depth(); got.InFlight+got.Visible != 1 {
			t.Errorf("the queue is %+v; the message of the deaf one waits for its visibility", got)
		}
	})
	t.Run("a second signal does not wait for the drain", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		q.Send(t, "1h")
		p := spawn(t, srv.Listen(t), q.Name, time.Hour)
		p.awaitStarted(t, 1)
		awaitPolls(t, q, 1)
		p.signal(t)
		awaitPolls(t, q, 0) // else both could be seen as one
		p.signal(t)
		status, took := p.exit()
		if status != 0 || took > soon {
			t.Errorf("status %d after %v, said %q", status, took, p.output())
		}
		if got := q.Depth(); got != (sqstest.Depth{Visible: 1}) {
			t.Errorf("the queue is %+v", got)
		}
	})
	t.Run("killed dead, all it held comes back", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		id := q.Send(t, "1h")
		p := spawn(t, srv.Listen(t), q.Name, time.Second)
		p.awaitStarted(t, 1)
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.exit()
		if m, kept := q.Message(id); !kept || time.Until(m.VisibleAt) > 30*time.Second {
			t.Errorf("kept: %v, %s until %v; want it hidden for what is left of its visibility", kept, m.State, m.VisibleAt)
		}
	})
}

func TestAcknowledgementsInBackoffAreFlushedAtTheStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, action string
		handler      holdfast.Handler
	}{
		{"deletes", "DeleteMessageBatch", nothing},
		{"changes of visibility", "ChangeMessageVisibilityBatch", handle(func(context.Context, *holdfast.Message) error { return holdfast.RetryAfter(time.Hour, errTest) })},
	} {
		t.Run(c.name+" that were throttled until the cancel are made at once", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				q.SendN(t, 20)
				throttled := srv.Fail(c.action, sqstest.Throttle)
				r := start(t, srv, q, c.handler, consumer.Config{StopTimeout: 2 * time.Second, Visibility: time.Hour})
				time.Sleep(2 * time.Minute)
				throttled.Stop()
				d, err := took(r)
				if s := r.Stats(); err != nil || s.Done+s.Retried != 20 || s.Unsettled != 0 {
					t.Errorf("stopped after %v with %v, queue %+v, Stats %+v", d, err, q.Depth(), s)
				}
			})
		})
		t.Run(c.name+" that are throttled until a while after it are made in the time kept", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				q.SendN(t, 20)
				throttled := srv.Fail(c.action, sqstest.Throttle)
				r := start(t, srv, q, c.handler, consumer.Config{StopTimeout: 5 * time.Second, PollGrace: -1, Visibility: time.Hour})
				time.Sleep(2 * time.Minute)
				time.AfterFunc(500*time.Millisecond, throttled.Stop)
				if d, err := took(r); err != nil || r.Stats().Done+r.Stats().Retried != 20 || d > 1200*time.Millisecond {
					t.Errorf("stopped after %v with %v, queue %+v", d, err, q.Depth())
				}
			})
		})
	}
}
