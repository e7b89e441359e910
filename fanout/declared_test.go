package fanout_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestAnARNOfWhatIsDeclaredMeansThat(t *testing.T) {
	t.Parallel()
	t.Run("what is sent arrives, and the plan is that of names", declaredByARN)
	t.Run("the same subscription by name and by ARN is found", declaredTwice)
	t.Run("a dead-letter queue by its ARN lets SNS in", declaredDeadLetters)
	t.Run("what Validate says of a name it says of the ARN", declaredChecks)
	t.Run("the consumer of a queue that is named so may confirm", declaredConsumer)
}

func declaredByARN(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := small()
		topology.Subscriptions[0].Topic, topology.Subscriptions[0].Queue = ordersARN, billingARN
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		if d := plan(t, srv, small(), fanout.Config{}); len(d.Changes) > 0 {
			t.Errorf("the plan of the same by names:\n%s", d)
		}
		topic := srv.Topic(t, "orders")
		topic.Publish(t, "work")
		if n := len(srv.Queue(t, "billing").Messages()); n != 1 {
			t.Errorf("%d messages arrived; undelivered: %v", n, undelivered(topic))
		}
	})
}

func declaredTwice(t *testing.T) {
	t.Parallel()
	topology := shop()
	topology.Subscriptions = append(topology.Subscriptions,
		fanout.Subscription{Topic: ordersARN, Queue: "billing", Raw: true}, fanout.Subscription{Topic: "orders", Queue: billingARN})
	want := "fanout: Subscriptions[3] is \"orders -> billing\"; it must be declared once; it is Subscriptions[0] too\n" +
		"fanout: Subscriptions[4] is \"orders -> billing\"; it must be declared once; it is Subscriptions[0] too\n" +
		"fanout: Subscriptions[4] is \"orders -> billing\"; it must be declared once; it is Subscriptions[3] too"
	if err := topology.Validate(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func declaredDeadLetters(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Topics = append(topology.Topics, fanout.Topic{Name: "returns"})
		topology.Queues = append(topology.Queues, fanout.Queue{Name: "lost"})
		topology.Subscriptions[0].DLQ.ARN = strings.Replace(billingARN, "billing", "lost", 1)
		topology.Subscriptions[1].DLQ.Retention, topology.Subscriptions[1].DLQ.KMSKey = 24*time.Hour, "alias/lost"
		// One that is made with another subscription is shared, with what is set there.
		topology.Subscriptions[2].Topic = "returns"
		topology.Subscriptions[2].DLQ.ARN = strings.Replace(billingARN, "billing", "shipping-orders-undelivered", 1)
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		if d := plan(t, srv, topology, fanout.Config{}); len(d.Changes) > 0 {
			t.Errorf("the second plan:\n%s", d)
		}
		for _, name := range []string{"billing", "audit"} {
			set(t, srv, name, "Policy", "")
		}
		srv.Topic(t, "orders").Publish(t, "work")
		srv.Topic(t, "returns").Publish(t, "work")
		for _, name := range []string{"lost", "shipping-orders-undelivered"} {
			if n := len(srv.Queue(t, name).Messages()); n != 1 {
				t.Errorf("%d messages on %s, want what SNS could not deliver", n, name)
			}
		}
	})
}

func declaredChecks(t *testing.T) {
	t.Parallel()
	topology := shop()
	topology.Queues[0].KMSKey = "alias/aws/sqs"
	topology.Subscriptions[0].Queue = billingARN
	topology.Subscriptions[1].DLQ.ARN = strings.Replace(billingARN, "billing", "shipping", 1)
	topology.Subscriptions[2].DLQ.ARN = billingARN + "-dlq" // made with its queue, whose dead letters are others
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "orders", Queue: billingARN + "-dlq"})
	got := strings.Split(fmt.Sprint(topology.Validate()), "\n")
	if diff := cmp.Diff([]string{
		`fanout: Queues[0].KMSKey is "alias/aws/sqs"; it must be a key of your own, or none: SNS may not use the one that AWS manages, and orders delivers here`,
		`fanout: Subscriptions[1].DLQ.Name is "shipping"; it must be another queue than the subscribed one`,
		`fanout: Subscriptions[3].Queue is "billing-dlq"; it must be the name of one of Queues, or the ARN of a queue elsewhere`,
		`fanout: Subscriptions[2].DLQ.Name is "billing-dlq"; it must be another name than that of Queues[0].DLQ.Name, which is made with its queue: to share it declare billing-dlq in Queues`,
	}, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func declaredConsumer(t *testing.T) {
	t.Parallel()
	topology := shop()
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: theirsARN, Queue: billingARN, LetIn: true})
	text, err := fanout.ConsumePermissions(topology, "billing")
	if err != nil || !strings.Contains(text, "sns:ConfirmSubscription") {
		t.Errorf("%v, without sns:ConfirmSubscription: %s", err, text)
	}
}
