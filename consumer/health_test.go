package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/internal/wholebody"
	"github.com/holdfast-go/holdfast/sqstest"
)

// slowStart is a middleware whose Start waits.
type slowStart struct{ wait time.Duration }

func (s slowStart) Wrap(next holdfast.Handler) holdfast.Handler { return next }

func (s slowStart) Start(ctx context.Context, q holdfast.Queue) error {
	time.Sleep(s.wait)
	return nil
}

func TestHealth(t *testing.T) {
	t.Parallel()
	t.Run("goes through new, starting, running, stopping and stopped", healthStates)
	t.Run("tells each problem since it began and forgets it when it is over", healthSince)
	t.Run("lists problems the oldest first", healthOrder)
	t.Run("is asked over HTTP: Live and Ready have handlers of their own", healthHandlers)
	t.Run("is not live after Run ended with an error", healthAfterError)
}

func healthStates(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		q.Send(t, "x")
		c, err := consumer.New(srv.SQS(), q.URL, slow(10*time.Second), consumer.Config{Middleware: []holdfast.Middleware{slowStart{5 * time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		check := func(state string, ready bool) {
			t.Helper()
			synctest.Wait()
			if h := c.Health(); h.State != state || h.Ready != ready || !h.Live || len(h.Problems) != 0 {
				t.Errorf("health is %+v, want %s, ready %v, live and no problem", h, state, ready)
			}
		}
		check("new", false)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Second)
		check("starting", false)
		time.Sleep(5 * time.Second)
		check("running", true)
		cancel()
		check("stopping", false)
		if err := <-done; err != nil {
			t.Error(err)
		}
		check("stopped", false)
	})
}

func healthSince(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		r := start(t, srv, q, nothing, consumer.Config{})
		synctest.Wait()
		time.Sleep(time.Minute)
		down := srv.Fail("ReceiveMessage", sqstest.ServiceUnavailable503)
		until(t, time.Minute, "health is red", func() bool { return problem(r, "receive") != nil })
		since := r.Health().Problems[0].Since
		if age := time.Since(since); age > time.Second {
			t.Errorf("the problem began %v ago, want now", age)
		}
		time.Sleep(10 * time.Minute)
		h := r.Health()
		if len(h.Problems) != 1 || !h.Problems[0].Since.Equal(since) || h.Ready || !h.Live {
			t.Errorf("health is %+v, want one problem since %v, not ready and live", h, since)
		}
		if !strings.Contains(h.Problems[0].Err.Error(), "sqs:ReceiveMessage") || !strings.Contains(h.Problems[0].Err.Error(), q.ARN) {
			t.Errorf("problem %q, want action and queue in it", h.Problems[0].Err)
		}
		down.Stop()
		until(t, 2*time.Minute, "health is green", func() bool { return r.Health().Ready && len(r.Health().Problems) == 0 })
	})
}

func healthOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		q.Send(t, "x")
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error { return holdfast.Permanent(errTest) }), consumer.Config{})
		until(t, time.Second, "no dead-letter queue", func() bool { return problem(r, "no-dead-letter-queue") != nil })
		srv.Fail("ReceiveMessage", sqstest.AccessDenied)
		until(t, time.Minute, "receive denied", func() bool { return problem(r, "receive") != nil })
		var names []string
		for _, p := range r.Health().Problems {
			names = append(names, p.Name)
		}
		if diff := cmp.Diff([]string{"no-dead-letter-queue", "receive"}, names); diff != "" {
			t.Errorf("problems (-want +got):\n%s", diff)
		}
	})
}

// ask returns what a probe gets.
func ask(t *testing.T, h http.Handler) (status int, body map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q, want application/json", got)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	return w.Code, body
}

func healthHandlers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		r := start(t, srv, srv.Queue(t, "orders"), nothing, consumer.Config{})
		synctest.Wait()
		for name, h := range map[string]http.Handler{"Live": r.LiveHandler(), "Ready": r.ReadyHandler()} {
			status, body := ask(t, h)
			want := map[string]any{"live": true, "ready": true, "state": "running", "problems": []any{}}
			if diff := cmp.Diff(want, body); diff != "" || status != http.StatusOK {
				t.Errorf("%s answers %d (-want +got):\n%s", name, status, diff)
			}
		}
		down := srv.Fail("ReceiveMessage", sqstest.AccessDenied)
		until(t, time.Minute, "not ready", func() bool { return !r.Health().Ready })
		if status, body := ask(t, r.LiveHandler()); status != http.StatusOK || body["live"] != true || body["ready"] != false {
			t.Errorf("Live answers %d %v, want 200: restarting does not help", status, body)
		}
		status, body := ask(t, r.ReadyHandler())
		list := body["problems"].([]any)
		if status != http.StatusServiceUnavailable || len(list) != 1 {
			t.Fatalf("Ready answers %d %v, want 503 and one problem", status, body)
		}
		p := list[0].(map[string]any)
		since, err := time.Parse(time.RFC3339, p["since"].(string))
		if err != nil || !since.Equal(r.Health().Problems[0].Since) || p["name"] != "receive" || !strings.Contains(p["error"].(string), "sqs:ReceiveMessage") {
			t.Errorf("problem %v (%v), want receive since %v", p, err, r.Health().Problems[0].Since)
		}
		down.Stop()
		until(t, 2*time.Minute, "ready", func() bool { return r.Health().Ready })
		r.stop()
		if status, _ := ask(t, r.ReadyHandler()); status != http.StatusServiceUnavailable {
			t.Errorf("Ready answers %d after the stop, want 503", status)
		}
		if status, _ := ask(t, r.LiveHandler()); status != http.StatusOK {
			t.Errorf("Live answers %d after the stop, want 200", status)
		}
	})
}

func healthAfterError(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		c, err := consumer.New(srv.SQS(), "no-such-queue", nothing, consumer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Run(context.Background())
		var missing *consumer.QueueError
		if !errors.As(err, &missing) || missing.Queue != "no-such-queue" || missing.Region != sqstest.Region {
			t.Errorf("Run returns %v, want the queue and region that it misses", err)
		}
		h := c.Health()
		if h.Live || h.Ready || h.State != "stopped" || len(h.Problems) != 1 || h.Problems[0].Name != "run" || !errors.Is(h.Problems[0].Err, err) {
			t.Errorf("health is %+v, want it dead of %v", h, err)
		}
		if status, _ := ask(t, c.LiveHandler()); status != http.StatusServiceUnavailable {
			t.Errorf("Live answers %d, want 503", status)
		}
	})
}

func TestStatsIsASnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		for _, body := range []string{"done", "discard", "retry", "permanent", "panic", "park", "run", "run"} {
			q.Send(t, body)
		}
		release, ready := make(chan struct{}), make(chan struct{})
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			switch {
			case m.Body == "discard":
				return holdfast.Discard(errTest)
			case m.Body == "permanent":
				return holdfast.Permanent(errTest)
			case m.Body == "retry" && m.Attempt == 1:
				return errTest
			case m.Body == "panic" && m.Attempt == 1:
				panic("as the test wants")
			case m.Body == "park":
				select {
				case <-ready:
				default:
					return holdfast.Park(ready, nil)
				}
			case m.Body == "run":
				<-release
			}
			return nil
		}), consumer.Config{Concurrency: 10, BackoffBase: time.Minute})
		time.Sleep(time.Second)
		synctest.Wait()
		before := r.Stats()
		want := consumer.Stats{
			Received: 8, Done: 1, Discarded: 1, Retried: 2, DeadLettered: 1, Panics: 1,
			Held: 3, HeldBytes: int64(len("park" + "run" + "run")), Running: 2, Parked: 1,
			Polls: before.Polls, EmptyPolls: before.EmptyPolls, DeleteCalls: before.DeleteCalls, ChangeCalls: before.ChangeCalls, SendCalls: 1,
			Pollers: before.Pollers,
		}
		if diff := cmp.Diff(want, before); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
		if before.Polls < 1 || before.DeleteCalls < 1 || before.DeleteCalls > 3 || before.ChangeCalls < 1 || before.ChangeCalls > 2 || before.Pollers < 1 {
			t.Errorf("stats %+v, want the calls counted", before)
		}
		if got := srv.Calls("DeleteMessageBatch"); int64(got) != before.DeleteCalls {
			t.Errorf("%d delete calls counted, SQS saw %d", before.DeleteCalls, got)
		}
		same := before
		close(release)
		close(ready)
		until(t, 5*time.Minute, "all settled", empty(q))
		if before != same {
			t.Errorf("a snapshot changed to %+v", before)
		}
		after := r.Stats()
		if after.Done != 6 || after.Held != 0 || after.HeldBytes != 0 || after.Running != 0 || after.Parked != 0 || after.Settling != 0 {
			t.Errorf("stats %+v, want 6 done and nothing held", after)
		}
	})
}

func TestInFlightListsWhatIsHeld(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		release := make(chan struct{})
		r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
			if m.Attempt == 1 && m.Body == "second" {
				return errTest
			}
			lease, ok := holdfast.LeaseFrom(ctx)
			if !ok {
				t.Error("the handler has no lease")
				return nil
			}
			lease.SetKey("key of " + m.Body)
			<-release
			return nil
		}), consumer.Config{Concurrency: 2, BackoffBase: time.Second})
		first := q.Send(t, "first", sqstest.Group("g1"))
		time.Sleep(10 * time.Second)
		second := q.Send(t, "second", sqstest.Group("g2"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		list := r.InFlight()
		if len(list) != 2 {
			t.Fatalf("in flight: %+v, want two", list)
		}
		now := time.Now()
		for i, f := range list {
			if f.State != "running" || !f.Deadline.After(now) || f.Deadline.After(now.Add(30*time.Second)) || f.Running <= 0 || f.Running > f.Age {
				t.Errorf("in flight %d: %+v, want it running within a deadline", i, f)
			}
			list[i].Deadline, list[i].Running = time.Time{}, 0
		}
		want := []consumer.InFlight{
			{ID: first, Key: "key of first", GroupID: "g1", State: "running", Age: 20 * time.Second, Attempt: 1},
			{ID: second, Key: "key of second", GroupID: "g2", State: "running", Age: list[1].Age, Attempt: 2},
		}
		if diff := cmp.Diff(want, list); diff != "" {
			t.Errorf("in flight, the oldest first (-want +got):\n%s", diff)
		}
		// The second came back after a backoff of up to a second.
		if age := list[1].Age; age < 8*time.Second || age > 9*time.Second {
			t.Errorf("the second is %v old, want the time since it arrived the second time", age)
		}
		close(release)
		until(t, time.Minute, "done", empty(q))
		if list := r.InFlight(); len(list) != 0 {
			t.Errorf("in flight: %+v, want none", list)
		}
	})
}

// recorder is a client that notes which calls go through it.
type recorder struct {
	consumer.SQSAPI
	mu    sync.Mutex // guards calls
	calls map[string]int
}

func (r *recorder) note(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[name]++
}

func (r *recorder) names() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.calls {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *recorder) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	r.note("ReceiveMessage")
	return r.SQSAPI.ReceiveMessage(ctx, in, opts...)
}

func (r *recorder) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	r.note("DeleteMessageBatch")
	return r.SQSAPI.DeleteMessageBatch(ctx, in, opts...)
}

func (r *recorder) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	r.note("ChangeMessageVisibilityBatch")
	return r.SQSAPI.ChangeMessageVisibilityBatch(ctx, in, opts...)
}

func (r *recorder) SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	r.note("SendMessage")
	return r.SQSAPI.SendMessage(ctx, in, opts...)
}

func TestSettlingHasAClientOfItsOwn(t *testing.T) {
	t.Parallel()
	t.Run("Config.Settle gets all calls but the receives", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders", sqstest.DLQ(10))
			q.Send(t, "slow")
			q.Send(t, "refused")
			poll := &recorder{SQSAPI: srv.SQS(), calls: make(map[string]int)}
			settle := &recorder{SQSAPI: srv.SQS(), calls: make(map[string]int)}
			startWith(t, poll, q, handle(func(ctx context.Context, m *holdfast.Message) error {
				if m.Body == "refused" {
					return holdfast.Permanent(errTest)
				}
				time.Sleep(40 * time.Second) // beyond its visibility
				return nil
			}), consumer.Config{Settle: settle})
			until(t, time.Minute, "settled", empty(q))
			if diff := cmp.Diff([]string{"ReceiveMessage"}, poll.names()); diff != "" {
				t.Errorf("calls of the polling client (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"ChangeMessageVisibilityBatch", "DeleteMessageBatch", "SendMessage"}, settle.names()); diff != "" {
				t.Errorf("calls of the settling client (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("neither client spends a retry budget of the SDK", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			q.SendN(t, 1)
			budget := &countingRetryer{Retryer: aws.NopRetryer{}}
			client := srv.SQS(func(o *sqs.Options) { o.Retryer = budget })
			receives := srv.Fail("ReceiveMessage", sqstest.Internal500, sqstest.After(1), sqstest.Times(5))
			deletes := srv.Fail("DeleteMessageBatch", sqstest.Internal500, sqstest.Times(3))
			startWith(t, client, q, nothing, consumer.Config{})
			until(t, 10*time.Minute, "done", empty(q))
			until(t, 10*time.Minute, "all faults met", func() bool { return receives.Hits() == 5 && deletes.Hits() == 3 })
			if got := budget.asked.Load(); got != 0 {
				t.Errorf("the retryer of the user's client was asked %d times, want the consumer's own loops to retry", got)
			}
		})
	})
	t.Run("each client keeps connections of its own, for as many calls as can be in flight", func(t *testing.T) {
		t.Parallel()
		mine := awshttp.NewBuildableClient()
		client := sqs.New(sqs.Options{Region: sqstest.Region, HTTPClient: mine})
		c, err := consumer.New(client, "orders", nothing, consumer.Config{Concurrency: 1000})
		if err != nil {
			t.Fatal(err)
		}
		poll, settle := consumer.Clients(c)
		pool := func(api consumer.SQSAPI) *awshttp.BuildableClient {
			return api.(*sqs.Client).Options().HTTPClient.(wholebody.Client).Next.(*awshttp.BuildableClient)
		}
		if pool(poll) == pool(settle) || pool(poll) == mine || pool(settle) == mine {
			t.Error("the clients share their connections")
		}
		// 1000 slots and a prefetch of 8000 can have 900 receives in flight.
		if got := pool(poll).GetTransport().MaxIdleConnsPerHost; got < 900 {
			t.Errorf("the polling client keeps %d connections, want 900", got)
		}
		if got := pool(settle).GetTransport().MaxIdleConnsPerHost; got < 48 {
			t.Errorf("the settling client keeps %d connections, want one for each call in flight", got)
		}
		if got := mine.GetTransport().MaxIdleConnsPerHost; got != awshttp.DefaultHTTPTransportMaxIdleConnsPerHost {
			t.Errorf("the user's client was changed to keep %d connections", got)
		}
	})
}

// countingRetryer notes that it was asked.
type countingRetryer struct {
	aws.Retryer
	asked atomic.Int64
}

func (r *countingRetryer) IsErrorRetryable(err error) bool {
	r.asked.Add(1)
	return r.Retryer.IsErrorRetryable(err)
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, action, queue string }{
		{"denied ChangeMessageVisibility ends Run at start", "ChangeMessageVisibility", "url"},
		{"denied DeleteMessage ends Run at start", "DeleteMessage", "url"},
		{"denied GetQueueAttributes ends Run at start", "GetQueueAttributes", "url"},
		{"denied GetQueueUrl ends Run at start", "GetQueueUrl", "name"},
		{"denied ReceiveMessage ends Run at the first receive", "ReceiveMessage", "url"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				id := q.Send(t, "x")
				deny(srv, c.action)
				name := q.URL
				if c.queue == "name" {
					name = q.Name
				}
				ran := false
				k, err := consumer.New(srv.SQS(), name, handle(func(context.Context, *holdfast.Message) error { ran = true; return nil }), consumer.Config{})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				err = k.Run(context.Background())
				var denied *consumer.AccessError
				if !errors.As(err, &denied) || denied.Action != "sqs:"+c.action {
					t.Fatalf("Run returns %v, want sqs:%s denied", err, c.action)
				}
				// By name alone the account is not known yet.
				if want := q.ARN; denied.Resource != want && denied.Resource != strings.Replace(want, sqstest.Account, "*", 1) {
					t.Errorf("denied on %s, want %s", denied.Resource, want)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("Run took %v, want it to end at once", took)
				}
				if ran || q.Receives(id) != 0 {
					t.Error("a message was received")
				}
				if h := k.Health(); h.Live {
					t.Errorf("health is %+v, want it dead", h)
				}
			})
		})
	}
	for _, c := range []struct {
		action, problem string
	}{
		{"ReceiveMessage", "receive"}, {"DeleteMessage", "settle"}, {"ChangeMessageVisibility", "extend"},
	} {
		t.Run("denied "+c.action+" while it runs turns red with action and ARN, and recovers", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				r := start(t, srv, q, slow(40*time.Second), consumer.Config{Concurrency: 1})
				synctest.Wait()
				deny(srv, c.action)
				q.SendN(t, 1)
				until(t, 3*time.Minute, "health is red", func() bool { return problem(r, c.problem) != nil })
				err := problem(r, c.problem)
				var denied *consumer.AccessError
				if !errors.As(err, &denied) || denied.Action != "sqs:"+c.action || denied.Resource != q.ARN {
					t.Errorf("health says %v, want sqs:%s denied on %s", err, c.action, q.ARN)
				}
				if h := r.Health(); h.Ready || !h.Live {
					t.Errorf("health is %+v, want live and not ready", h)
				}
				srv.Authorize(nil)
				until(t, 10*time.Minute, "done", empty(q))
				q.SendN(t, 1)
				until(t, 10*time.Minute, "done", empty(q))
				if h := r.Health(); !h.Ready || len(h.Problems) > 0 {
					t.Errorf("health is %+v, want it ready", h)
				}
			})
		})
	}
	for _, code := range []string{"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "InvalidClientTokenId", "UnrecognizedClientException", "MissingAuthenticationToken"} {
		t.Run("credentials that are refused with "+code+" end Run at start", func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				srv.Fail("", sqstest.Custom(code, 403, "no"))
				k, err := consumer.New(srv.SQS(), q.URL, handle(func(context.Context, *holdfast.Message) error { return nil }), consumer.Config{})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				var denied *consumer.AccessError
				if err := k.Run(ctx); !errors.As(err, &denied) || time.Since(began) > 5*time.Second {
					t.Errorf("Run returns %v after %v, want an AccessError at once", err, time.Since(began))
				}
			})
		})
	}
}

// slow is a handler that takes d and is deaf to its context.
func slow(d time.Duration) holdfast.Handler {
	return handle(func(context.Context, *holdfast.Message) error { time.Sleep(d); return nil })
}

// deny denies an action on all queues.
func deny(srv *sqstest.Server, action string) {
	srv.Authorize(func(asked, _ string) error {
		if asked == action {
			return errors.New("denied by the test")
		}
		return nil
	})
}
