package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// askQueue is a middleware that takes down what it is told of the queue.
type askQueue struct{ told *holdfast.Queue }

func (a askQueue) Wrap(next holdfast.Handler) holdfast.Handler { return next }

func (a askQueue) Start(_ context.Context, q holdfast.Queue) error {
	*a.told = q
	return nil
}

func TestMiddlewareIsToldTheRetentionOfTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		opts  []sqstest.QueueOption
		allow bool
		want  time.Duration
	}{
		{"as it is", []sqstest.QueueOption{sqstest.DLQ(5)}, true, 4 * 24 * time.Hour},
		{"0 where it may not be read, and the consumer works all the same", []sqstest.QueueOption{sqstest.DLQ(5)}, false, 0},
		{"0 where there is none", nil, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders", c.opts...)
				if !c.allow {
					srv.Authorize(func(action, arn string) error {
						if action == "GetQueueAttributes" && strings.HasSuffix(arn, "-dlq") {
							return errors.New("denied")
						}
						return nil
					})
				}
				var told holdfast.Queue
				q.Send(t, "x")
				r := start(t, srv, q, nothing, consumer.Config{Middleware: []holdfast.Middleware{askQueue{&told}}})
				until(t, time.Minute, "the queue is empty", empty(q))
				if told.DeadLetterRetention != c.want || told.ARN != q.ARN {
					t.Errorf("told %+v, want DeadLetterRetention %v", told, c.want)
				}
				if err := r.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
