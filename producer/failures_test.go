package producer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestFailures(t *testing.T) {
	t.Parallel()
	t.Run("of some messages of a request have those tried again and no others", partialFailures)
	t.Run("that are the sender's fault are not tried again", senderFaults)
	t.Run("of whole requests are tried again: throttled, 500, 503, cut, reply lost", wholeRequests)
	t.Run("of access and of a missing target are told at once and say what to do", fatalRequests)
	t.Run("of a request for one message's sake fail that one alone", oneToBlame)
	t.Run("of a request leave those alone whose time ends before it is their turn", waitingTheirTurn)
	t.Run("end with the context, the last error told", endWithContext)
	t.Run("end with Config.Timeout", endWithTimeout)
	t.Run("end each at its own time, in whatever order these come", endInOrder)
	t.Run("while the target is looked for are tried again, or told", whileOpening)
}

func partialFailures(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{})
		fault := srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Every(3), sqstest.Times(20))
		for i, err := range each(t.Context(), p, texts(100)) {
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		for body, n := range counts(q) {
			if n != 1 {
				t.Errorf("body %s is there %d times", body, n)
			}
		}
		if s := p.Stats(); len(counts(q)) != 100 || fault.Hits() != 20 || s.Retries != 20 || s.Sent != 100 || s.Failed != 0 {
			t.Errorf("%d messages, %d hits, stats %+v; want 100, 20 and 20 retries", len(counts(q)), fault.Hits(), s)
		}
	})
}

func senderFaults(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{})
		srv.FailEntries("SendMessageBatch", "InvalidMessageContents", true, sqstest.After(4), sqstest.Times(1))
		results, err := p.SendBatch(t.Context(), texts(10))
		var batch *producer.BatchError
		var entry *producer.EntryError
		var send *producer.SendError
		if !errors.As(err, &batch) || batch.Failed != 1 || batch.Messages != 10 || !errors.As(err, &entry) || entry.Code != "InvalidMessageContents" {
			t.Errorf("error %v, want one of 10 with the entry's", err)
		}
		for i, r := range results {
			if (i == 4) != (r.Err != nil) || (i == 4) != (r.MessageID == "") {
				t.Errorf("result %d is %+v", i, r)
			}
		}
		if !errors.As(results[4].Err, &send) || send.Attempts != 1 || send.Unconfirmed || errors.Is(err, producer.ErrUnconfirmed) {
			t.Errorf("error %v, want one try that surely was not applied", results[4].Err)
		}
		if n := srv.Calls("SendMessageBatch"); n != 1 || len(bodies(q)) != 9 {
			t.Errorf("%d requests and %d messages, want 1 and 9", n, len(bodies(q)))
		}
	})
}

func wholeRequests(t *testing.T) {
	for name, inject := range map[string]func(*sqstest.Server){
		"throttled":                    func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.Throttle, sqstest.Times(3)) },
		"request throttled":            func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.RequestThrottled, sqstest.Times(3)) },
		"500":                          func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.Internal500, sqstest.Times(3)) },
		"503":                          func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.ServiceUnavailable503, sqstest.Times(3)) },
		"credentials that are renewed": func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.ExpiredToken, sqstest.Times(3)) },
		"cut":                          func(s *sqstest.Server) { s.Cut("SendMessageBatch", sqstest.Times(3)) },
		"hanging":                      func(s *sqstest.Server) { s.Hang("SendMessageBatch", sqstest.Times(3)) },
		"reply lost":                   func(s *sqstest.Server) { s.DropReply("SendMessageBatch", sqstest.Times(3)) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders")
				p := to(t, srv, q, producer.Config{})
				inject(srv)
				if _, err := p.SendBatch(t.Context(), texts(10)); err != nil {
					t.Error(err)
				}
				want := 1
				if name == "reply lost" {
					want = 4 // at least once
				}
				for body, n := range counts(q) {
					if n != want {
						t.Errorf("body %s is there %d times, want %d", body, n, want)
					}
				}
				if s := p.Stats(); len(counts(q)) != 10 || s.Calls != 4 || s.CallErrors != 3 || s.Retries != 30 {
					t.Errorf("%d messages, stats %+v; want 10 in 4 calls", len(counts(q)), s)
				}
			})
		})
	}
}

func fatalRequests(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{})
		srv.Fail("SendMessageBatch", sqstest.AccessDenied, sqstest.Times(1))
		var access *producer.AccessError
		if err := p.Send(t.Context(), producer.Message{Body: "x"}); !errors.As(err, &access) || access.Action != "sqs:SendMessage" {
			t.Errorf("error %v, want an AccessError for sqs:SendMessage", err)
		}
		srv.Fail("SendMessageBatch", sqstest.QueueDoesNotExist, sqstest.Times(1))
		var missing *producer.TargetError
		if err := p.Send(t.Context(), producer.Message{Body: "x"}); !errors.As(err, &missing) || missing.Region != sqstest.Region {
			t.Errorf("error %v, want a TargetError", err)
		}
		if n := srv.Calls("SendMessageBatch"); n != 2 {
			t.Errorf("%d requests, want none again", n)
		}
	})
}

func oneToBlame(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{})
		invalid := sqstest.Custom("InvalidParameterValue", 400, "one of them is bad")
		srv.Fail("SendMessageBatch", invalid, sqstest.Times(1))
		srv.Fail("SendMessageBatch", invalid, sqstest.After(3), sqstest.Times(1))
		results, err := p.SendBatch(t.Context(), texts(10))
		if failed := (*producer.BatchError)(nil); !errors.As(err, &failed) || failed.Failed != 1 {
			t.Errorf("error %v, want one message that failed", err)
		}
		for i, r := range results {
			if (i == 3) != (r.Err != nil) {
				t.Errorf("result %d is %+v", i, r)
			}
		}
		if len(bodies(q)) != 9 {
			t.Errorf("%d messages, want 9", len(bodies(q)))
		}
	})
}

// A message alone takes 9 s here, so that there is time for one of ten, and the second
// is under way.
func waitingTheirTurn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const left = 10 * time.Second
		for name, timeout := range map[string]time.Duration{"their context": 0, "Config.Timeout": left, "Close": 0} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			p, err := producer.New(srv.SQS(), q.URL, producer.Config{Timeout: timeout, MaxMessageBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			srv.Fail("SendMessageBatch", sqstest.Custom("InvalidParameterValue", 400, "one of them is bad"), sqstest.Times(1))
			srv.Delay("SendMessageBatch", 9*time.Second) // each but the one that fails
			ctx, cancel := context.Background(), func() {}
			if name == "their context" {
				ctx, cancel = context.WithTimeout(ctx, left)
			}
			if name == "Close" {
				time.AfterFunc(left, func() {
					over, end := context.WithCancel(context.Background())
					end()
					_ = p.Close(over)
				})
			}
			var results []producer.Result
			spent := took(func() { results, _ = p.SendBatch(ctx, inGroups(10, 10)) })
			cancel()
			for i, r := range results {
				var told *producer.SendError
				switch {
				case i == 0:
					if r.Err != nil {
						t.Errorf("%s: the first: %v", name, r.Err)
					}
				case !errors.As(r.Err, &told), told.Unconfirmed != (i == 1), !strings.Contains(r.Err.Error(), "one of them is bad"), told.Attempts != 1 && i > 1:
					t.Errorf("%s: result %d is %v, want doubt for the second only, and why", name, i, r.Err)
				}
			}
			time.Sleep(5 * time.Minute)
			if n := len(bodies(q)); spent/time.Second != 10 || n > 2 || srv.Calls("SendMessageBatch") != 3 || p.Stats().Pending != 0 {
				t.Errorf("%s: after %v %d messages by %d calls; want what was under way and no more", name, spent, n, srv.Calls("SendMessageBatch"))
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func endWithContext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{})
		srv.Fail("SendMessageBatch", sqstest.Throttle)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errTest)
		defer cancel()
		var err error
		spent := took(func() { err = p.Send(ctx, producer.Message{Body: "x"}) })
		if !errors.Is(err, errTest) || errors.Is(err, producer.ErrUnconfirmed) || !strings.Contains(err.Error(), "Rate exceeded") || spent != 2*time.Second {
			t.Errorf("after %v: %v; want the cause of the context after 2 s, the throttling, and no doubt", spent, err)
		}
		time.Sleep(time.Minute)
		if n := p.Stats().Calls; n < 3 || n > 10 {
			t.Errorf("%d calls, want a few, with a backoff", n)
		}

		srv2 := sqstest.New(t)
		q2 := srv2.Queue(t, "orders")
		p2 := to(t, srv2, q2, producer.Config{})
		srv2.Delay("SendMessageBatch", time.Second, sqstest.OnReply())
		ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := p2.Send(ctx, producer.Message{Body: "x"}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, producer.ErrUnconfirmed) {
			t.Errorf("error %v, want one that tells that the message may have been sent", err)
		}
		if len(bodies(q2)) != 1 {
			t.Errorf("%d messages, want the one in doubt", len(bodies(q2)))
		}

		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		calls := srv2.Calls("SendMessageBatch")
		if err := p2.Send(ctx, producer.Message{Body: "x"}); !errors.Is(err, context.Canceled) || errors.Is(err, producer.ErrUnconfirmed) || srv2.Calls("SendMessageBatch") != calls {
			t.Errorf("error %v, want that of the context and no request", err)
		}
	})
}

func endWithTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Timeout: 3 * time.Second})
		if err := p.Send(t.Context(), producer.Message{Body: "x"}); err != nil {
			t.Fatal(err)
		}
		srv.Hang("SendMessageBatch")
		var err error
		spent := took(func() { err = p.Send(t.Context(), producer.Message{Body: "x"}) })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, producer.ErrUnconfirmed) || spent != 3*time.Second || !strings.Contains(err.Error(), "Config.Timeout (3s)") {
			t.Errorf("after %v: %v; want it after 3 s, in doubt", spent, err)
		}
	})
}

// Messages whose bodies are put elsewhere are taken after others that have more time
// left; and many are out of time at once.
func endInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		away := &depot{wait: func(string) time.Duration { return time.Second }}
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Timeout: 3 * time.Second, Offload: away, OffloadAbove: 5})
		srv.Fail("SendMessageBatch", sqstest.Throttle)
		var wg sync.WaitGroup
		send := func(m producer.Message) {
			wg.Go(func() {
				var err error
				spent := took(func() { err = p.Send(t.Context(), m) })
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, producer.ErrUnconfirmed) || spent != 3*time.Second {
					t.Errorf("%s after %v: %v", m.Body, spent, err)
				}
			})
		}
		for i := range 30 {
			for _, m := range append(texts(10), larges(10)...) {
				send(m)
			}
			if i == 20 {
				for _, m := range texts(2500) {
					send(m)
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		wg.Wait()
	})
}

func whileOpening(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p, err := producer.New(srv.SQS(), "orders", producer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, p)
		srv.Fail("GetQueueUrl", sqstest.ServiceUnavailable503, sqstest.Times(3))
		if err := errors.Join(each(t.Context(), p, texts(5))...); err != nil || len(bodies(q)) != 5 {
			t.Errorf("%d messages, error %v", len(bodies(q)), err)
		}
		if n := srv.Calls("GetQueueUrl"); n != 4 {
			t.Errorf("%d calls of GetQueueUrl, want 4: one looks for all", n)
		}

		lost, err := producer.New(srv.SQS(), "nowhere", producer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, lost)
		var missing *producer.TargetError
		if err := lost.Send(t.Context(), producer.Message{Body: "x"}); !errors.As(err, &missing) || missing.Target != "nowhere" {
			t.Errorf("error %v, want a TargetError", err)
		}
		srv.Fail("GetQueueUrl", sqstest.Internal500)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := lost.Send(ctx, producer.Message{Body: "x"}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "unknown error") {
			t.Errorf("error %v, want the context's with the last try's", err)
		}

		// Without the permission to read what the queue takes, its default is taken.
		reader := to(t, srv, q, producer.Config{})
		srv.Fail("GetQueueAttributes", sqstest.AccessDenied)
		if err := reader.Send(t.Context(), producer.Message{Body: strings.Repeat("x", 1<<20)}); err != nil {
			t.Error(err)
		}
	})
}
