package snsserver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

var errDown = errors.New("SQS is down")

// unsigned spares tests of many messages the signatures.
var unsigned = snsserver.Config{NoSignature: true}

// bubble runs a test in virtual time.
func bubble(t *testing.T, name string, run func(*bundle)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { run(setupWith(t, unsigned)) })
	})
}

func TestRefusedDelivery(t *testing.T) {
	t.Parallel()

	bubble(t, "without an access policy nothing arrives and the server says why", func(b *bundle) {
		topic, queue := b.topic("orders"), queueARN("billing")
		b.queues.allow(queue, "")
		b.subscribe(topic, queue)
		id := b.publish(topic, "hello")
		if n := b.queues.tried(); n != 0 {
			b.Errorf("%d messages were sent to the queue, want none", n)
		}
		want := "lost: AccessDenied: the queue has no access policy, so SNS may not send to it: " +
			`Allow sqs:SendMessage to Principal {"Service":"sns.amazonaws.com"} where aws:SourceArn is the topic's ARN (the subscription has no RedrivePolicy)`
		if got := b.server.Why(id, queue); got != want {
			b.Errorf("Why: %s\nwant %s", got, want)
		}
		b.queue("billing") // now with a policy: what was published before does not come back
		b.publish(topic, "again")
		time.Sleep(time.Hour)
		if diff := cmp.Diff(1, len(b.queues.got(queue))); diff != "" {
			b.Errorf("messages (-want +got):\n%s", diff)
		}
	})

	bubble(t, "a queue that is not there is not tried again", func(b *bundle) {
		topic := b.topic("orders")
		b.subscribe(topic, queueARN("gone"))
		id := b.publish(topic, "hello")
		if got := b.server.Why(id, queueARN("gone")); !strings.HasPrefix(got, "lost: AWS.SimpleQueueService.NonExistentQueue") {
			b.Errorf("Why: %s", got)
		}
	})

	bubble(t, "goes to the dead-letter queue of the subscription", func(b *bundle) {
		topic, queue, dead := b.topic("orders"), queueARN("billing"), b.queue("dead")
		b.queues.allow(queue, "")
		b.subscribe(topic, queue, "RawMessageDelivery", "true", "RedrivePolicy", `{"deadLetterTargetArn":"`+dead+`"}`)
		id := b.publish(topic, "hello")
		if diff := cmp.Diff([]string{"hello"}, b.queues.bodies(dead)); diff != "" {
			b.Errorf("dead-letter queue (-want +got):\n%s", diff)
		}
		if got := b.server.Why(id, queue); !strings.HasPrefix(got, "dead-lettered to "+dead+": AccessDenied") {
			b.Errorf("Why: %s", got)
		}
	})

	bubble(t, "is lost where the dead-letter queue has no policy either", func(b *bundle) {
		topic, queue, dead := b.topic("orders"), queueARN("billing"), queueARN("dead")
		b.queues.allow(queue, "")
		b.queues.allow(dead, "")
		b.subscribe(topic, queue, "RedrivePolicy", `{"deadLetterTargetArn":"`+dead+`"}`)
		id := b.publish(topic, "hello")
		if got := b.server.Why(id, queue); !strings.HasPrefix(got, "lost: ") || !strings.Contains(got, "; the dead-letter queue: AccessDenied") {
			b.Errorf("Why: %s", got)
		}
	})

	bubble(t, "eleven attributes are too many for raw delivery, and fine in an envelope", func(b *bundle) {
		topic, raw, wrapped, dead := b.topic("orders"), b.queue("raw"), b.queue("wrapped"), b.queue("dead")
		b.subscribe(topic, raw, "RawMessageDelivery", "true", "RedrivePolicy", `{"deadLetterTargetArn":"`+dead+`"}`)
		b.subscribe(topic, wrapped)
		id := b.publish(topic, "hello", func(in *sns.PublishInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{}
			for i := range 11 {
				in.MessageAttributes[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("x")}
			}
		})
		got := []int{len(b.queues.got(raw)), len(b.queues.got(wrapped)), len(b.queues.got(dead))}
		if diff := cmp.Diff([]int{0, 1, 1}, got); diff != "" {
			b.Errorf("messages in raw, wrapped, dead (-want +got):\n%s", diff)
		}
		if got := b.server.Why(id, raw); !strings.Contains(got, "more than 10 attributes") {
			b.Errorf("Why: %s", got)
		}
	})
}

func TestRetries(t *testing.T) {
	t.Parallel()

	bubble(t, "follow the schedule that AWS documents", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue)
		start := time.Now()
		var at []time.Duration
		b.queues.failWith(func(string) error {
			at = append(at, time.Since(start))
			return errDown
		})
		b.publish(topic, "hello")
		time.Sleep(115 * time.Second)
		b.queues.failWith(nil) // at is not written any more
		if diff := cmp.Diff(
			"0s 0s 0s 1s 2s 3s 4.395s 6.341s 9.055s 12.841s 18.123s 25.491s 35.769s 50.106s 1m10.106s 1m30.106s 1m50.106s",
			strings.Trim(fmt.Sprint(at), "[]")); diff != "" {
			b.Errorf("times of the tries (-want +got):\n%s", diff)
		}
	})

	bubble(t, "end after 100,015 tries in 23 days", func(b *bundle) {
		topic, queue, dead := b.topic("orders"), b.queue("billing"), b.queue("dead")
		b.subscribe(topic, queue, "RedrivePolicy", `{"deadLetterTargetArn":"`+dead+`"}`)
		b.queues.failWith(func(arn string) error {
			if arn == dead {
				return nil
			}
			return errDown
		})
		start := time.Now()
		b.publish(topic, "hello")
		time.Sleep(22 * 24 * time.Hour)
		if d := b.server.Deliveries(topic)[0]; d.Status != snsserver.Underway || d.Why != "tried again after: SQS is down" {
			b.Errorf("after 22 days: %+v", d)
		}
		time.Sleep(2 * 24 * time.Hour)
		d := b.server.Deliveries(topic)[0]
		if d.Status != snsserver.DeadLettered || d.Tries != 100_015 || len(b.queues.got(dead)) != 1 {
			b.Errorf("after 24 days: %+v, want it dead-lettered after 100015 tries", d)
		}
		if took := d.Settled.Sub(start).Hours() / 24; took < 23 || took > 23.5 {
			b.Errorf("the tries took %v days, want 23", took)
		}
	})

	bubble(t, "that are due early do not wait for those due late", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		b.queues.failWith(func(string) error { return errDown })
		b.publish(topic, "old")
		time.Sleep(71 * time.Second) // its next try is 19 s away
		b.publish(topic, "new")
		b.queues.failWith(nil)
		time.Sleep(1500 * time.Millisecond)
		if diff := cmp.Diff([]string{"new"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("after a second (-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Second)
		if diff := cmp.Diff([]string{"new", "old"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("at last (-want +got):\n%s", diff)
		}
	})

	bubble(t, "end with the outage", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue)
		b.queues.failWith(func(string) error { return errDown })
		id := b.publish(topic, "hello")
		time.Sleep(10 * time.Second)
		b.queues.failWith(nil)
		if len(b.queues.got(queue)) != 0 {
			b.Error("the message is there during the outage")
		}
		time.Sleep(10 * time.Second)
		if got := b.server.Why(id, queue); got != "delivered at try 10" || len(b.queues.got(queue)) != 1 {
			b.Errorf("Why: %s, %d messages", got, len(b.queues.got(queue)))
		}
	})

	bubble(t, "stop when the error becomes the sender's", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue)
		b.queues.failWith(func(string) error { return errDown })
		b.publish(topic, "hello")
		b.queues.allow(queue, "")
		time.Sleep(time.Minute)
		if d := b.server.Deliveries(topic)[0]; d.Status != snsserver.Lost || d.Tries != 4 {
			b.Errorf("%+v, want it lost at the fourth try", d)
		}
	})

	bubble(t, "stop when the subscription ends", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		sub := b.subscribe(topic, queue)
		b.queues.failWith(func(string) error { return errDown })
		b.publish(topic, "hello")
		must(b.client.Unsubscribe(b.ctx, &sns.UnsubscribeInput{SubscriptionArn: &sub}))(b)
		time.Sleep(time.Minute)
		if d := b.server.Deliveries(topic)[0]; d.Status != snsserver.Lost || d.Tries != 3 {
			b.Errorf("%+v, want it lost after the immediate tries", d)
		}
	})

	bubble(t, "of several messages share the timer and keep apart", func(b *bundle) {
		topic, first, second := b.topic("orders"), b.queue("first"), b.queue("second")
		b.subscribe(topic, first, "RawMessageDelivery", "true")
		b.subscribe(topic, second, "RawMessageDelivery", "true")
		b.queues.failWith(func(string) error { return errDown })
		b.publish(topic, "a")
		time.Sleep(500 * time.Millisecond)
		b.publish(topic, "b")
		time.Sleep(600 * time.Millisecond)
		b.queues.failWith(nil)
		time.Sleep(time.Minute)
		for _, queue := range []string{first, second} {
			if diff := cmp.Diff([]string{"b", "a"}, b.queues.bodies(queue)); diff != "" { // b's next try is at 1.5 s, a's at 2
				b.Errorf("%s (-want +got):\n%s", queue, diff)
			}
		}
	})
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	to := func(group, dedup string) func(*sns.PublishInput) {
		return func(in *sns.PublishInput) {
			in.MessageGroupId = &group
			if dedup != "" {
				in.MessageDeduplicationId = &dedup
			}
		}
	}

	bubble(t, "carries group, deduplication id and sequence number", func(b *bundle) {
		topic, queue := b.topic("orders.fifo"), b.queue("billing.fifo")
		b.subscribe(topic, queue)
		out := must(b.client.Publish(b.ctx, &sns.PublishInput{
			TopicArn: &topic, Message: aws.String("a"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
		}))(b)
		got := b.queues.got(queue)[0]
		if got.Group != "g" || got.Dedup != "d" || !strings.Contains(got.Body, `"SequenceNumber" : "`+*out.SequenceNumber+`"`) || len(*out.SequenceNumber) != 20 {
			b.Errorf("message %+v, sequence number %s", got, *out.SequenceNumber)
		}
	})

	bubble(t, "takes a message once in five minutes", func(b *bundle) {
		topic, queue := b.topic("orders.fifo"), b.queue("billing.fifo")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		first := b.publish(topic, "a", to("g", "d"))
		time.Sleep(5*time.Minute - time.Nanosecond)
		if again := b.publish(topic, "b", to("other", "d")); again != first {
			b.Errorf("the duplicate has the id %s, want that of the first, %s", again, first)
		}
		time.Sleep(time.Nanosecond)
		b.publish(topic, "c", to("g", "d"))
		if diff := cmp.Diff([]string{"a", "c"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("queue (-want +got):\n%s", diff)
		}
		if p := b.server.Published(topic); len(p) != 3 || p[0].Repeat || !p[1].Repeat || p[2].Repeat {
			b.Errorf("published %+v, want the second to repeat the first", p)
		}
	})

	bubble(t, "tells messages of different groups apart where the topic says so", func(b *bundle) {
		topic, queue := b.topic("orders.fifo", "FifoThroughputScope", "MessageGroup", "ContentBasedDeduplication", "true"), b.queue("billing.fifo")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		for _, group := range []string{"g", "h", "g"} {
			b.publish(topic, "a", to(group, ""))
		}
		if diff := cmp.Diff([]string{"a", "a"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("queue (-want +got):\n%s", diff)
		}
		if a, want := b.queues.got(queue)[0].Dedup, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"; a != want {
			b.Errorf("deduplication id %s, want the body's SHA-256 %s", a, want)
		}
	})

	bubble(t, "keeps the order of a group while its head is tried again", func(b *bundle) {
		topic, queue := b.topic("orders.fifo"), b.queue("billing.fifo")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		b.subscribe(topic, b.queue("other.fifo"))
		b.queues.failWith(func(arn string) error {
			if arn == queue {
				return errDown
			}
			return nil
		})
		b.publish(topic, "g1", to("g", "1"))
		b.queues.failWith(nil)
		b.publish(topic, "g2", to("g", "2"))
		b.publish(topic, "h1", to("h", "3"))
		b.publish(topic, "g3", to("g", "4"))
		if diff := cmp.Diff([]string{"h1"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("at once (-want +got):\n%s", diff)
		}
		v, _ := b.server.Topic(topic)
		if n := []int{v.Subscriptions[0].Underway, v.Subscriptions[1].Underway}; n[0] != 3 || n[1] != 0 {
			b.Errorf("%d messages are under way, want 3 and none", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		b.publish(topic, "g4", to("g", "5"))
		if diff := cmp.Diff([]string{"h1", "g1", "g2", "g3", "g4"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("after a second (-want +got):\n%s", diff)
		}
	})

	bubble(t, "delivers to standard queues without group and deduplication id", func(b *bundle) {
		topic, queue := b.topic("orders.fifo"), b.queue("billing")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		b.publish(topic, "a", to("g", "1"))
		if got := b.queues.got(queue)[0]; got.Group != "" || got.Dedup != "" {
			b.Errorf("message %+v", got)
		}
	})
}

func TestStandardTopicForwardsTheGroup(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topic, queue := b.topic("orders"), b.queue("billing")
	b.subscribe(topic, queue)
	b.publish(topic, "a", func(in *sns.PublishInput) { in.MessageGroupId = aws.String("tenant") })
	if got := b.queues.got(queue)[0]; got.Group != "tenant" || got.Dedup != "" {
		t.Errorf("message %+v, want the group tenant", got)
	}
}

func TestTopicCannotOutpaceItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupWith(t, unsigned)
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		must(b.server.Inject(snsserver.Rule{Action: snsserver.Deliver, Delay: time.Minute, Times: 1}))(t)
		b.publish(topic, "late")
		b.publish(topic, "prompt")
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"prompt", "late"}, b.queues.bodies(queue)); diff != "" {
			t.Errorf("a standard topic keeps no order (-want +got):\n%s", diff)
		}
	})
}
