package fanout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

const (
	kib = 1 << 10
	// largestEnveloped is the largest MaxMessageSize of a topic with a subscription that is
	// not raw, where the queue takes 1 MiB.
	largestEnveloped = 510 * kib
)

func TestWhatATopicTakesItsQueuesTake(t *testing.T) {
	t.Parallel()
	t.Run("the largest message of the worst kind arrives where Validate finds nothing", sizesArrive)
	t.Run("and a byte more is refused", sizesRefused)
	t.Run("a topic and a queue of 256 KiB each are taken, and deliver what fits", sizesCommon)
	t.Run("a plan warns of queues that may refuse what is delivered, declared so or not, and is empty", sizesWarned)
	t.Run("Validate says which field, its value and the bound", sizesValidated)
}

// sized is a topology whose topic has as long a name as there can be.
func sized(topicSize, queueSize int, raw bool) fanout.Topology {
	topology := small()
	topology.Topics[0] = fanout.Topic{Name: strings.Repeat("t", 256), MaxMessageSize: topicSize, Attributes: map[string]string{"SignatureVersion": "2"}}
	topology.Queues[0].MaxMessageSize = queueSize
	topology.Subscriptions[0] = fanout.Subscription{Topic: topology.Topics[0].Name, Queue: "billing", Raw: raw, DLQ: fanout.Undelivered{Name: "lost"}}
	return topology
}

func sizesArrive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		topic, queue int
		raw          bool
	}{
		{0, 0, false},
		{0, 516 * kib, false},
		{largestEnveloped, 0, false},
		{1024, 6 * kib, false},
		{0, 256 * kib, true},
		{1024 * kib, 0, true},
		{1024, 1024, true},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				topology := sized(c.topic, c.queue, c.raw)
				apply(t, srv, topology, fanout.Config{PolicySpread: -1})
				topic := srv.Topic(t, topology.Topics[0].Name)
				in := &sns.PublishInput{TopicArn: &topic.ARN, Message: aws.String(strings.Repeat(`"`, max(c.topic, 1024)))}
				if c.topic == 0 {
					in.Message = aws.String(strings.Repeat("\n", 256*kib))
				}
				if !c.raw { // raw delivery drops it
					in.Subject = aws.String("s" + strings.Repeat(`"`, 98))
				}
				if _, err := srv.SNS().Publish(t.Context(), in); err != nil {
					t.Fatal(err)
				}
				if n := len(srv.Queue(t, "billing").Messages()); n != 1 {
					t.Errorf("%d messages arrived; undelivered: %.300q", n, undelivered(topic))
				}
			})
		})
	}
}

func sizesRefused(t *testing.T) {
	t.Parallel()
	for _, topology := range []fanout.Topology{
		sized(0, 256*kib-1, false), sized(largestEnveloped+1, 0, false), sized(2048, 2047, false), sized(0, 256*kib-1, true), sized(1025, 1024, true),
	} {
		if topology.Validate() == nil {
			t.Errorf("nothing is said of a topic with %d, a queue with %d and Raw %v",
				topology.Topics[0].MaxMessageSize, topology.Queues[0].MaxMessageSize, topology.Subscriptions[0].Raw)
		}
	}
}

func sizesCommon(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		topology := sized(0, 256*kib, false)
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		topic := srv.Topic(t, topology.Topics[0].Name)
		topic.Publish(t, strings.Repeat("x", 252*kib))
		if n := len(srv.Queue(t, "billing").Messages()); n != 1 {
			t.Errorf("%d messages arrived; undelivered: %.300q", n, undelivered(topic))
		}
	})
}

func sizesWarned(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Queues[1].MaxMessageSize = 256 * kib
		if got := warnings(apply(t, srv, topology, fanout.Config{PolicySpread: -1})); len(got) != 1 {
			t.Errorf("of what is made: %q", got)
		}
		for _, queue := range []string{"billing", "shipping-orders-undelivered", "audit", "billing-dlq"} {
			set(t, srv, queue, "MaximumMessageSize", "262144")
		}
		d := plan(t, srv, topology, fanout.Config{})
		const because = "orders takes messages of 262144 bytes and may deliver 528384 here, and SNS does not try again what is too large: raise it to that, or set Raw"
		want := []string{
			"warning queue shipping-orders-undelivered MaximumMessageSize 262144: left alone; " + because,
			"warning queue billing MaximumMessageSize 262144: left alone; " + because,
			"warning queue shipping MaximumMessageSize 262144: left alone; " + because,
		}
		if diff := cmp.Diff(want, warnings(d)); diff != "" || !d.Empty() || len(d.Changes) != 3 {
			t.Errorf("plan:\n%s\nwarnings (-want +got):\n%s", d, diff)
		}
		// What the topic takes is not declared, and somebody raised it.
		if _, err := srv.SNS().SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{
			TopicArn: aws.String(ordersARN), AttributeName: aws.String("MaximumMessageSize"), AttributeValue: aws.String("400000"),
		}); err != nil {
			t.Fatal(err)
		}
		raw := "warning queue audit MaximumMessageSize 262144: left alone; orders takes messages of 400000 bytes and may deliver 400000 here, and SNS does not try again what is too large: raise it to that"
		if got := warnings(plan(t, srv, topology, fanout.Config{})); len(got) != 4 || got[3] != raw {
			t.Errorf("with a topic of 400,000: %q", got)
		}
	})
}

// warnings are what a plan warns of.
func warnings(d *fanout.Diff) (out []string) {
	for _, c := range d.Changes {
		if c.Kind == fanout.Warning {
			out = append(out, c.String())
		}
	}
	return out
}

func sizesValidated(t *testing.T) {
	t.Parallel()
	topology := shop()
	topology.Topics[0].MaxMessageSize = 1024 * kib
	topology.Queues[2].MaxMessageSize = 256 * kib
	topology.Queues = append(topology.Queues, fanout.Queue{Name: "lost", MaxMessageSize: 1024})
	topology.Topics = append(topology.Topics, fanout.Topic{Name: "returns"})
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "returns", Queue: "billing", DLQ: fanout.Undelivered{Name: "lost"}},
		// How much a topic of others takes is not known.
		fanout.Subscription{Topic: elsewhere, Queue: "audit"})
	want := `fanout: Subscriptions[0].Raw is false; it must be true where MaxMessageSize of orders is above 522240: in SNS's envelope a message may become twice as large, and a queue takes 1048576
fanout: Subscriptions[1].Raw is false; it must be true where MaxMessageSize of orders is above 522240: in SNS's envelope a message may become twice as large, and a queue takes 1048576
fanout: Queues[2].MaxMessageSize is 262144; it must be at least 1048576: orders delivers messages of that size, by Subscriptions[2]
fanout: Queues[3].MaxMessageSize is 1024; it must be at least 262144: returns delivers messages of that size, by Subscriptions[3]`
	if err := topology.Validate(); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}
