package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/internal/cause"
	"github.com/holdfast-go/holdfast/sqstest"
)

// causeOf reads the cause that a dead-lettered message carries.
func causeOf(t *testing.T, m sqstest.Message) cause.Cause {
	t.Helper()
	a, ok := m.Attributes[consumer.CauseAttribute]
	if !ok {
		t.Fatalf("message %s has no attribute %s: %v", m.ID, consumer.CauseAttribute, m.Attributes)
	}
	if len(a.Text) > cause.Max || a.Type != "String" {
		t.Errorf("the cause is a %s of %d bytes, want a String of at most %d", a.Type, len(a.Text), cause.Max)
	}
	c, err := cause.Decode(a.Text)
	if err != nil {
		t.Fatalf("cause %q: %v", a.Text, err)
	}
	return c
}

// refuse is a handler that dead-letters everything.
var refuse = handle(func(context.Context, *holdfast.Message) error { return holdfast.Permanent(errTest) })

func TestDeadLetter(t *testing.T) {
	t.Parallel()
	t.Run("keeps body, attributes, group and trace header and tells the cause", copyIsWhole)
	t.Run("of a FIFO message keeps its group and has the source's id for deduplication", copyFIFO)
	t.Run("keeps the cause within 1 KiB whatever the error", longCause)
	t.Run("replaces the cause of an earlier time", olderCause)
	t.Run("at ten attributes drops the cause attribute, which hook and log then carry", tenAttributes)
	t.Run("at ten attributes of which one is an older cause has room for the new one", tenWithOlderCause)
	t.Run("at 1 MiB drops the cause attribute, which hook and log then carry", oneMebibyte)
	t.Run("without a dead-letter queue keeps the message and says so loudly", noDeadLetterQueue)
	t.Run("to a queue that denies it keeps the message, turns red and recovers", deadLetterDenied)
	t.Run("to a queue that is missing keeps the message, turns red and recovers", deadLetterMissing)
	t.Run("on a FIFO queue to a queue that denies it gives the group back in order", deadLetterDeniedFIFO)
	t.Run("that is throttled is tried again without giving the message up", deadLetterThrottled)
	t.Run("survives a crash before the delete with a copy in both queues, on FIFO with one copy", crashBetween)
}

func copyIsWhole(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
		id := q.Send(t, `{"id":"ž"}`, sqstest.Group("tenant-7"), sqstest.TraceHeader(trace),
			sqstest.StringAttribute("kind", "paid"), sqstest.NumberAttribute("cents", "250"), sqstest.BinaryAttribute("raw", []byte{0, 1, 255}))
		before := q.Messages()[0]
		var rec told
		start(t, srv, q, refuse, consumer.Config{Hooks: rec.hooks()})
		until(t, time.Minute, "settled", empty(q))

		dead := q.DLQ().Messages()
		if len(dead) != 1 {
			t.Fatalf("%d messages in the dead-letter queue, want 1", len(dead))
		}
		c := causeOf(t, dead[0])
		if age := time.Since(c.At); age < 0 || age > time.Minute {
			t.Errorf("cause at %v, want now", c.At)
		}
		c.At = time.Time{}
		want := cause.Cause{Cause: "permanent", Error: "permanent: test failure", Attempt: 1, Queue: q.ARN, Message: id}
		if diff := cmp.Diff(want, c); diff != "" {
			t.Errorf("cause (-want +got):\n%s", diff)
		}
		delete(dead[0].Attributes, consumer.CauseAttribute)
		if diff := cmp.Diff(before.Attributes, dead[0].Attributes); diff != "" {
			t.Errorf("attributes (-sent +dead-lettered):\n%s", diff)
		}
		if dead[0].Body != before.Body || dead[0].Group != "tenant-7" {
			t.Errorf("body %q of group %q, want %q of tenant-7", dead[0].Body, dead[0].Group, before.Body)
		}
		if got := traceOf(t, srv, q.DLQ()); got != trace {
			t.Errorf("trace header %q, want %q", got, trace)
		}
		told := rec.deadLetters()
		if len(told) != 1 || told[0].Err != nil || told[0].Cause != "permanent" || told[0].Queue != q.DLQ().ARN || told[0].CauseDropped || !errors.Is(told[0].Reason, errTest) {
			t.Errorf("hooks were told %+v, want one dead-lettering", told)
		}
	})
}

// traceOf receives a message as a handler sees it and returns its trace header.
func traceOf(t *testing.T, srv *sqstest.Server, q *sqstest.Queue) (trace string) {
	t.Helper()
	r := start(t, srv, q, handle(func(ctx context.Context, m *holdfast.Message) error {
		trace = m.TraceHeader
		return nil
	}), consumer.Config{})
	until(t, time.Minute, "read", empty(q))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return trace
}

func copyFIFO(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(10))
		id := q.Send(t, "x", sqstest.Group("customer-3"), sqstest.Dedup("order-9"))
		start(t, srv, q, refuse, consumer.Config{})
		until(t, time.Minute, "settled", empty(q))
		dead := q.DLQ().Messages()
		if len(dead) != 1 || dead[0].Group != "customer-3" || dead[0].Dedup != id {
			t.Errorf("dead-letter queue holds %+v, want one message of customer-3 with the deduplication id %s", dead, id)
		}
	})
}

func longCause(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		q.Send(t, "x")
		start(t, srv, q, handle(func(context.Context, *holdfast.Message) error {
			return holdfast.Permanent(errors.New(strings.Repeat("\x00<ž\xff\n", 10_000)))
		}), consumer.Config{})
		until(t, time.Minute, "settled", empty(q))
		if c := causeOf(t, q.DLQ().Messages()[0]); c.Cause != "permanent" || !strings.HasPrefix(c.Error, "permanent: <ž") {
			t.Errorf("cause %+v, want the beginning of the error", c)
		}
	})
}

func olderCause(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		id := q.Send(t, "x", sqstest.StringAttribute(consumer.CauseAttribute, `{"cause":"undecodable","attempt":3}`), sqstest.StringAttribute("kind", "paid"))
		start(t, srv, q, refuse, consumer.Config{})
		until(t, time.Minute, "settled", empty(q))
		dead := q.DLQ().Messages()[0]
		if c := causeOf(t, dead); c.Cause != "permanent" || c.Message != id {
			t.Errorf("cause %+v, want the new one", c)
		}
		if len(dead.Attributes) != 2 {
			t.Errorf("attributes %v, want kind and one cause", dead.Attributes)
		}
	})
}

// attributes are n message attributes.
func attributes(n int) (opts []sqstest.SendOption) {
	for i := range n {
		opts = append(opts, sqstest.StringAttribute(fmt.Sprintf("a%d", i), "v"))
	}
	return opts
}

func tenAttributes(t *testing.T) {
	inBubble(t, func(t *testing.T) { withoutRoom(t, "x", attributes(10)...) })
}

func oneMebibyte(t *testing.T) {
	inBubble(t, func(t *testing.T) { withoutRoom(t, strings.Repeat("x", 1<<20)) })
}

// withoutRoom dead-letters a message that has no room for a cause.
func withoutRoom(t *testing.T, body string, opts ...sqstest.SendOption) {
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders", sqstest.DLQ(10))
	id := q.Send(t, body, opts...)
	before := q.Messages()[0]
	var rec told
	var log bytes.Buffer
	start(t, srv, q, refuse, consumer.Config{Hooks: rec.hooks(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	until(t, time.Minute, "settled", empty(q))
	dead := q.DLQ().Messages()
	if len(dead) != 1 {
		t.Fatalf("%d messages in the dead-letter queue, want 1", len(dead))
	}
	if diff := cmp.Diff(before.Attributes, dead[0].Attributes); diff != "" || dead[0].Body != before.Body {
		t.Errorf("body of %d bytes and attributes (-sent +dead-lettered), want them as sent:\n%s", len(dead[0].Body), diff)
	}
	told := rec.deadLetters()
	if len(told) != 1 || !told[0].CauseDropped || told[0].Cause != "permanent" || !errors.Is(told[0].Reason, errTest) || told[0].Message.ID != id {
		t.Errorf("hooks were told %+v, want the cause that the message has no room for", told)
	}
	synctest.Wait()
	for _, want := range []string{id, "cause=permanent", "test failure", "attribute-dropped=true"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func tenWithOlderCause(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(10))
		q.Send(t, "x", append(attributes(9), sqstest.StringAttribute(consumer.CauseAttribute, "{}"))...)
		start(t, srv, q, refuse, consumer.Config{})
		until(t, time.Minute, "settled", empty(q))
		dead := q.DLQ().Messages()[0]
		if c := causeOf(t, dead); c.Cause != "permanent" || len(dead.Attributes) != 10 {
			t.Errorf("cause %+v among %d attributes, want the new one among ten", c, len(dead.Attributes))
		}
	})
}

func noDeadLetterQueue(t *testing.T) {
	for _, name := range []string{"orders", "orders.fifo"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name)
				var opts []sqstest.SendOption
				if strings.HasSuffix(name, ".fifo") {
					opts = append(opts, sqstest.Group("g"))
				}
				id := q.Send(t, "x", opts...)
				var rec told
				var log bytes.Buffer
				r := start(t, srv, q, refuse, consumer.Config{
					Hooks: rec.hooks(), BackoffBase: time.Second, BackoffMax: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if _, kept := q.Message(id); !kept || len(q.Deleted()) != 0 {
					t.Fatalf("the message is gone; deleted: %v", q.Deleted())
				}
				told := rec.deadLetters()
				// The mean backoff is 30 s.
				if len(told) < 10 || len(told) > 60 {
					t.Errorf("hooks were told %d times in 10 minutes, want once for each run with a backoff between", len(told))
				}
				for _, e := range told {
					if !errors.Is(e.Err, consumer.ErrNoDeadLetterQueue) || e.Cause != "permanent" || e.Queue != "" || !errors.Is(e.Reason, errTest) {
						t.Errorf("hooks were told %+v, want ErrNoDeadLetterQueue", e)
					}
				}
				if err := problem(r, "no-dead-letter-queue"); !errors.Is(err, consumer.ErrNoDeadLetterQueue) {
					t.Errorf("health says %v, want ErrNoDeadLetterQueue", err)
				}
				if h := r.Health(); !h.Ready || !h.Live {
					t.Errorf("health is %+v, want ready and live: all else is worked on", h)
				}
				if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "no dead-letter queue") {
					t.Errorf("the log does not say it loudly:\n%s", log.String())
				}
				if s := r.Stats(); s.DeadLettered != 0 || s.SendCalls != 0 || s.Retried < 10 {
					t.Errorf("stats are %+v, want retries only", s)
				}
			})
		})
	}
}

func deadLetterDenied(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders", sqstest.DLQ(100))
		id := q.Send(t, "x")
		dlq := q.DLQ()
		srv.Authorize(func(action, arn string) error {
			if action == "SendMessage" && arn == dlq.ARN {
				return errors.New("denied by the test")
			}
			return nil
		})
		refusedThenRecovered(t, srv, q, id, func(err error) {
			var denied *consumer.AccessError
			if !errors.As(err, &denied) || denied.Action != "sqs:SendMessage" || denied.Resource != dlq.ARN {
				t.Errorf("health says %v, want sqs:SendMessage denied on %s", err, dlq.ARN)
			}
		}, func() { srv.Authorize(nil) })
		if c := causeOf(t, dlq.Messages()[0]); c.Message != id || c.Attempt < 2 {
			t.Errorf("cause %+v, want the message after several attempts", c)
		}
	})
}

func deadLetterMissing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoCooldown())
		q := srv.Queue(t, "orders", sqstest.DLQ(100))
		id := q.Send(t, "x")
		dlq := q.DLQ()
		if _, err := srv.SQS().DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &dlq.URL}); err != nil {
			t.Fatal(err)
		}
		var again *sqstest.Queue
		refusedThenRecovered(t, srv, q, id, func(err error) {
			var missing *consumer.QueueError
			if !errors.As(err, &missing) || missing.Queue != dlq.ARN {
				t.Errorf("health says %v, want that %s does not exist", err, dlq.ARN)
			}
		}, func() { again = srv.Queue(t, dlq.Name) })
		if got := len(again.Messages()); got != 1 {
			t.Errorf("%d messages in the dead-letter queue made again, want 1", got)
		}
	})
}

// refusedThenRecovered runs a message that is to be dead-lettered and cannot be,
// mends that, and sees the message through.
func refusedThenRecovered(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, id string, check func(error), mend func()) {
	t.Helper()
	var rec told
	var log bytes.Buffer
	r := start(t, srv, q, refuse, consumer.Config{Hooks: rec.hooks(), BackoffBase: 8 * time.Second, BackoffMax: time.Minute, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if _, kept := q.Message(id); !kept {
		t.Fatal("the message is gone")
	}
	err := problem(r, "dead-letter")
	if err == nil {
		t.Fatalf("health is %+v, want the problem dead-letter", r.Health())
	}
	check(err)
	if h := r.Health(); h.Ready || !h.Live {
		t.Errorf("health is %+v, want live and not ready", h)
	}
	told := rec.deadLetters()
	if len(told) < 5 || len(told) > 40 {
		t.Errorf("tried %d times in 10 minutes, want a backoff between", len(told))
	}
	for _, e := range told {
		if e.Err == nil || e.Cause != "permanent" || e.Queue != q.DLQ().ARN {
			t.Errorf("hooks were told %+v, want why it was refused", e)
		}
	}
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log has no error:\n%s", log.String())
	}
	mend()
	until(t, 5*time.Minute, "dead-lettered", empty(q))
	if h := r.Health(); !h.Ready || len(h.Problems) != 0 {
		t.Errorf("health is %+v, want it ready again", h)
	}
}

func deadLetterDeniedFIFO(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo", sqstest.DLQ(100))
		sendGroups(t, q, 1, 3)
		dlq := q.DLQ()
		srv.Authorize(func(action, arn string) error {
			if action == "SendMessage" && arn == dlq.ARN {
				return errors.New("denied by the test")
			}
			return nil
		})
		var rs groupRuns
		start(t, srv, q, rs.record(func(ctx context.Context, m *holdfast.Message, n int) error {
			if n == 0 {
				return holdfast.Permanent(errTest)
			}
			return nil
		}), consumer.Config{BackoffMax: 20 * time.Second})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		for _, one := range rs.all() {
			if one.n != 0 {
				t.Fatalf("message %d ran before its head was settled", one.n)
			}
		}
		if got := len(q.Messages()); got != 3 {
			t.Fatalf("%d messages in the queue, want all 3", got)
		}
		srv.Authorize(nil)
		until(t, 5*time.Minute, "all settled", empty(q))
		if got := len(dlq.Messages()); got != 1 {
			t.Errorf("%d messages dead-lettered, want the head", got)
		}
	})
}

func deadLetterThrottled(t *testing.T) {
	for _, c := range []struct {
		name     string
		times    int
		receives int
	}{
		{"for a moment, under the same hold", 3, 1},
		{"for longer, when it comes back", 6, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", sqstest.DLQ(10))
				id := q.Send(t, "x")
				throttled := srv.Fail("SendMessage", sqstest.Throttle, sqstest.Times(c.times))
				r := start(t, srv, q, refuse, consumer.Config{})
				until(t, time.Minute, "settled", empty(q))
				if throttled.Hits() != c.times || q.Receives(id) != c.receives || len(q.DLQ().Messages()) != 1 {
					t.Errorf("%d throttled, received %d times, %d dead-lettered; want %d, %d and 1",
						throttled.Hits(), q.Receives(id), len(q.DLQ().Messages()), c.times, c.receives)
				}
				if h := r.Health(); !h.Ready {
					t.Errorf("health is %+v, want ready", h)
				}
			})
		})
	}
}

func crashBetween(t *testing.T) {
	for name, copies := range map[string]int{"orders": 2, "orders.fifo": 1} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, name, sqstest.DLQ(10))
				var opts []sqstest.SendOption
				if strings.HasSuffix(name, ".fifo") {
					opts = append(opts, sqstest.Group("g"))
				}
				id := q.Send(t, "x", opts...)
				p := newProcess(t, srv, "before DeleteMessageBatch")
				p.run(q, refuse, consumer.Config{})
				until(t, time.Minute, "the process is dead", func() bool { return !p.alive() })
				if _, kept := q.Message(id); !kept || len(q.DLQ().Messages()) != 1 {
					t.Fatalf("kept: %v, dead-lettered: %d; want it in both queues", kept, len(q.DLQ().Messages()))
				}
				start(t, srv, q, refuse, consumer.Config{})
				until(t, time.Minute, "settled by another process", empty(q))
				if got := len(q.DLQ().Messages()); got != copies {
					t.Errorf("%d copies in the dead-letter queue, want %d", got, copies)
				}
			})
		})
	}
}
