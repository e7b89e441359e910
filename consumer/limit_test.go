package consumer_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// crowded is a client of a queue of which others hold as many messages as SQS
// hands out: it tells so, and its receives bring nothing.
type crowded struct {
	*sqs.Client
	full  atomic.Bool
	looks atomic.Int32
}

func (c *crowded) GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, opts ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	out, err := c.Client.GetQueueAttributes(ctx, in, opts...)
	if err == nil && len(in.AttributeNames) == 2 {
		c.looks.Add(1)
		if c.full.Load() {
			out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)] = "7"
			out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)] = "119990"
		}
	}
	return out, err
}

func TestInFlightLimitOfLongPolls(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		client := &crowded{Client: srv.SQS()}
		r := startWith(t, settled{client}, q, nothing, consumer.Config{})
		red := func() string {
			for _, p := range r.Health().Problems {
				if p.Name == "in-flight-limit" {
					return p.Err.Error()
				}
			}
			return ""
		}
		time.Sleep(time.Hour)
		if red() != "" || !r.Health().Ready {
			t.Fatalf("an idle queue is taken for a crowded one: %q", red())
		}
		if n := client.looks.Load(); n < 10 || n > 12 {
			t.Errorf("%d looks in an hour of empty receives, want one in 5 minutes", n)
		}
		client.full.Store(true)
		until(t, 6*time.Minute, "red", func() bool { return red() != "" })
		if !strings.Contains(red(), "119990 in flight") || r.Health().Ready {
			t.Errorf("health %+v", r.Health())
		}
		client.full.Store(false)
		until(t, time.Minute, "green", func() bool { return red() == "" && r.Health().Ready })
		client.full.Store(true)
		until(t, 6*time.Minute, "red again", func() bool { return red() != "" })
		q.Send(t, "x")
		until(t, time.Minute, "green as soon as a message comes", func() bool { return red() == "" })
	})
}

// settled hides that a client could be derived from, so that it is used as it is.
type settled struct{ consumer.SQSAPI }
