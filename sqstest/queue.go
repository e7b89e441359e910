package sqstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// Queue is a queue on a Server. It is safe for concurrent use.
type Queue struct {
	// Name, ARN and URL are the three ways to call it.
	Name string
	ARN  string
	URL  string

	server *Server
	dlq    *Queue
	fifo   bool
	sent   atomic.Int64
}

type queueConfig struct {
	attributes map[string]string
	dlq        bool
	maxReceive int
	errs       []error
}

// QueueOption changes a queue that Server.Queue makes.
type QueueOption func(*queueConfig)

// DLQ gives the queue a dead-letter queue named like it with "-dlq" (before
// .fifo), and moves messages there after maxReceiveCount receives.
func DLQ(maxReceiveCount int) QueueOption {
	return func(c *queueConfig) { c.dlq, c.maxReceive = true, maxReceiveCount }
}

// QueueAttribute sets an attribute by its name in the SQS API, for example
// QueueAttribute("DelaySeconds", "5").
func QueueAttribute(name, value string) QueueOption {
	return func(c *queueConfig) { c.attributes[name] = value }
}

// Visibility sets the queue's VisibilityTimeout, in whole seconds. Default: 30 s.
func Visibility(d time.Duration) QueueOption { return secondsAttribute("VisibilityTimeout", d) }

// Retention sets the queue's MessageRetentionPeriod, in whole seconds, 1 min to
// 14 days. Default: 4 days.
func Retention(d time.Duration) QueueOption { return secondsAttribute("MessageRetentionPeriod", d) }

func secondsAttribute(name string, d time.Duration) QueueOption {
	return func(c *queueConfig) {
		if d%time.Second != 0 {
			c.errs = append(c.errs, fmt.Errorf("%s %v is not in whole seconds", name, d))
		}
		c.attributes[name] = strconv.FormatInt(int64(d/time.Second), 10)
	}
}

// Queue makes a queue, or ends the test. One whose name ends in .fifo is a FIFO
// queue.
func (s *Server) Queue(tb testing.TB, name string, opts ...QueueOption) *Queue {
	tb.Helper()
	c := queueConfig{attributes: make(map[string]string)}
	for _, opt := range opts {
		opt(&c)
	}
	if err := errors.Join(c.errs...); err != nil {
		tb.Fatalf("sqstest: create queue %s: %v", name, err)
	}
	base, fifo := strings.CutSuffix(name, ".fifo")
	var dlq *Queue
	if c.dlq {
		dlqName := base + "-dlq"
		if fifo {
			dlqName += ".fifo"
		}
		dlq = s.Queue(tb, dlqName)
		policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": dlq.ARN, "maxReceiveCount": c.maxReceive})
		if err != nil {
			tb.Fatalf("sqstest: redrive policy of %s: %v", name, err)
		}
		c.attributes["RedrivePolicy"] = string(policy)
	}
	if fifo {
		c.attributes["FifoQueue"] = "true"
	}
	arn, err := s.inner.Create(name, c.attributes)
	if err != nil {
		tb.Fatalf("sqstest: create queue %s: %v", name, err)
	}
	return &Queue{Name: name, ARN: arn, URL: endpoint + "/" + Account + "/" + name, server: s, dlq: dlq, fifo: fifo}
}

// DLQ is the dead-letter queue made with the option DLQ, else nil.
func (q *Queue) DLQ() *Queue { return q.dlq }

// SendOption changes a message that Queue.Send sends or Topic.Publish publishes.
type SendOption func(*outgoing)

type outgoing struct {
	sqsserver.Outgoing
	subject string
}

// Group sets the MessageGroupId. FIFO queues demand one; on standard queues it is
// the label of fair queues.
func Group(id string) SendOption { return func(o *outgoing) { o.Group = id } }

// Dedup sets the MessageDeduplicationId, on FIFO queues only. Default there: a
// new one for each message.
func Dedup(id string) SendOption { return func(o *outgoing) { o.Dedup = id } }

// StringAttribute adds a message attribute of type String.
func StringAttribute(name, value string) SendOption {
	return attribute(name, sqsserver.Attribute{Type: "String", Text: value})
}

// NumberAttribute adds a message attribute of type Number.
func NumberAttribute(name, value string) SendOption {
	return attribute(name, sqsserver.Attribute{Type: "Number", Text: value})
}

// BinaryAttribute adds a message attribute of type Binary.
func BinaryAttribute(name string, value []byte) SendOption {
	return attribute(name, sqsserver.Attribute{Type: "Binary", Binary: value})
}

func attribute(name string, a sqsserver.Attribute) SendOption {
	return func(o *outgoing) {
		if o.Attributes == nil {
			o.Attributes = make(map[string]sqsserver.Attribute)
		}
		o.Attributes[name] = a
	}
}

// SendDelay holds the message back, in whole seconds up to 15 min; for standard
// queues, and not for topics. Default: as the queue says.
func SendDelay(d time.Duration) SendOption { return func(o *outgoing) { o.Delay = d } }

// TraceHeader sets the system attribute AWSTraceHeader.
func TraceHeader(v string) SendOption { return func(o *outgoing) { o.TraceHeader = v } }

// Send puts a message on the queue, or ends the test, and returns its id. It
// goes around HTTP: no fault strikes it and the log does not show it.
func (q *Queue) Send(tb testing.TB, body string, opts ...SendOption) (id string) {
	tb.Helper()
	out := outgoing{Outgoing: sqsserver.Outgoing{Body: body}}
	for _, opt := range opts {
		opt(&out)
	}
	if out.subject != "" {
		tb.Fatalf("sqstest: send to %s: Subject is for topics", q.Name)
	}
	if q.fifo && out.Dedup == "" {
		out.Dedup = fmt.Sprintf("sqstest-%d", q.sent.Add(1))
	}
	id, err := q.server.inner.Send(q.ARN, out.Outgoing)
	if err != nil {
		tb.Fatalf("sqstest: send to %s: %v", q.Name, err)
	}
	return id
}

// SendN sends n messages with the bodies {"n":0} to {"n":n-1} and returns their
// ids in that order.
func (q *Queue) SendN(tb testing.TB, n int, opts ...SendOption) (ids []string) {
	tb.Helper()
	for i := range n {
		ids = append(ids, q.Send(tb, fmt.Sprintf(`{"n":%d}`, i), opts...))
	}
	return ids
}
