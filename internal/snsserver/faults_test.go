package snsserver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

var (
	throttled = &snsserver.Error{Code: "Throttled", Status: 429, Message: "Rate exceeded"}
	internal  = &snsserver.Error{Code: "InternalError", Status: 500, Message: "Oops", Receiver: true}
)

func (b *bundle) inject(r snsserver.Rule) *snsserver.Injection {
	b.Helper()
	return must(b.server.Inject(r))(b)
}

func TestFaultsOfCalls(t *testing.T) {
	t.Parallel()
	publish := func(b *bundle, topic string) string {
		_, err := b.client.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")})
		return told(err)
	}

	bubble(t, "Fail refuses the call, as often and where it says", func(b *bundle) {
		topic, other := b.topic("orders"), b.topic("other")
		i := b.inject(snsserver.Rule{Action: "Publish", Topic: "orders", After: 1, Every: 2, Times: 2, Fail: throttled})
		var got []string
		for range 7 {
			got = append(got, publish(b, topic)[:5])
		}
		if diff := cmp.Diff("<nil> <nil> Throt <nil> Throt <nil> <nil>", strings.Join(got, " ")); diff != "" {
			b.Errorf("calls (-want +got):\n%s", diff)
		}
		if got := publish(b, other); got != "<nil>" || i.Hits() != 2 {
			b.Errorf("another topic: %s; %d hits", got, i.Hits())
		}
		if n := len(b.server.Published(topic)); n != 5 {
			b.Errorf("%d messages were accepted, want 5", n)
		}
	})

	bubble(t, "the SDK tries the Receiver's errors again", func(b *bundle) {
		topic := b.topic("orders")
		b.inject(snsserver.Rule{Action: "Publish", Times: 2, Fail: internal})
		client := sns.New(b.client.Options(), func(o *sns.Options) { o.Retryer = retry.NewStandard() })
		if _, err := client.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")}); err != nil || b.server.Calls("Publish") != 3 {
			b.Errorf("%v after %d calls, want success at the third", err, b.server.Calls("Publish"))
		}
	})

	bubble(t, "Delay holds back the call, or its reply", func(b *bundle) {
		topic := b.topic("orders")
		stop := b.inject(snsserver.Rule{Delay: time.Minute})
		ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
		defer cancel()
		if _, err := b.client.Publish(ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")}); err == nil || len(b.server.Published("")) != 0 {
			b.Errorf("a late call: %v, %d messages", err, len(b.server.Published("")))
		}
		stop.Stop()
		b.inject(snsserver.Rule{Action: "Publish", Delay: time.Minute, OnReply: true})
		start := time.Now()
		if got := publish(b, topic); got != "<nil>" || time.Since(start) != time.Minute {
			b.Errorf("%s after %v", got, time.Since(start))
		}
		if p := b.server.Published(""); len(p) != 1 || !p[0].At.Equal(start) {
			b.Errorf("published %+v, want it accepted at once", p)
		}
	})

	bubble(t, "Cut and Drop break the connection, before and after", func(b *bundle) {
		topic := b.topic("orders")
		b.inject(snsserver.Rule{Action: "Publish", Times: 1, Cut: true})
		if got := publish(b, topic); !strings.Contains(got, "connection reset") || len(b.server.Published("")) != 0 {
			b.Errorf("Cut: %s, %d messages", got, len(b.server.Published("")))
		}
		b.inject(snsserver.Rule{Action: "Publish", Times: 1, Drop: true})
		if got := publish(b, topic); !strings.Contains(got, "connection reset") || len(b.server.Published("")) != 1 {
			b.Errorf("Drop: %s, %d messages", got, len(b.server.Published("")))
		}
		if log := b.server.Log(); !strings.Contains(log[len(log)-1].Err, "connection reset") {
			b.Errorf("log %+v", log)
		}
	})

	bubble(t, "Hang ends with the call's context", func(b *bundle) {
		topic := b.topic("orders")
		b.inject(snsserver.Rule{Action: "Publish", Hang: true})
		ctx, cancel := context.WithTimeout(b.ctx, time.Hour)
		defer cancel()
		start := time.Now()
		_, err := b.client.Publish(ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")})
		if err == nil || time.Since(start) != time.Hour {
			b.Errorf("%v after %v", err, time.Since(start))
		}
	})

	bubble(t, "FailEntry fails entries of a batch that succeeds", func(b *bundle) {
		topic := b.topic("orders")
		b.inject(snsserver.Rule{Action: "PublishBatch", After: 1, Times: 1, FailEntry: internal})
		var entries []types.PublishBatchRequestEntry
		for i := range 3 {
			entries = append(entries, types.PublishBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), Message: aws.String("x")})
		}
		out := must(b.client.PublishBatch(b.ctx, &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: entries}))(b)
		if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "1" || out.Failed[0].SenderFault {
			b.Errorf("%+v", out)
		}
		if log := b.server.Log(); log[len(log)-1].Entries != 3 || log[len(log)-1].Topic != "orders" {
			b.Errorf("log %+v", log[len(log)-1])
		}
	})
}

func TestFaultsOfDeliveries(t *testing.T) {
	t.Parallel()

	bubble(t, "Fail by the Receiver is tried again, by the sender is not", func(b *bundle) {
		topic, queue, other := b.topic("orders"), b.queue("billing"), b.queue("other")
		b.subscribe(topic, queue)
		b.subscribe(topic, other)
		b.inject(snsserver.Rule{Action: snsserver.Deliver, Queue: "billing", Times: 4, Fail: internal})
		id := b.publish(topic, "x")
		if len(b.queues.got(other)) != 1 || len(b.queues.got(queue)) != 0 {
			b.Error("the fault is not that of one queue")
		}
		time.Sleep(time.Minute)
		if got := b.server.Why(id, queue); got != "delivered at try 5" {
			b.Errorf("Why: %s", got)
		}
		b.inject(snsserver.Rule{Action: snsserver.Deliver, Queue: "billing", Fail: throttled})
		id = b.publish(topic, "x")
		if got := b.server.Why(id, queue); got != "lost: Throttled: Rate exceeded (the subscription has no RedrivePolicy)" {
			b.Errorf("Why: %s", got)
		}
	})

	bubble(t, "Drop delivers twice to a queue that does not recognise it", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		b.inject(snsserver.Rule{Action: snsserver.Deliver, Times: 1, Drop: true})
		b.publish(topic, "x")
		if diff := cmp.Diff([]string{"x", "x"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("queue (-want +got):\n%s", diff)
		}
	})

	bubble(t, "Cut is an outage", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue)
		i := b.inject(snsserver.Rule{Action: snsserver.Deliver, Cut: true})
		b.publish(topic, "x")
		time.Sleep(time.Hour)
		i.Stop()
		time.Sleep(20 * time.Second)
		if n := len(b.queues.got(queue)); n != 1 {
			b.Errorf("%d messages after the outage", n)
		}
	})

	bubble(t, "Delay makes a FIFO group late together", func(b *bundle) {
		topic, queue := b.topic("orders.fifo", "ContentBasedDeduplication", "true"), b.queue("billing.fifo")
		b.subscribe(topic, queue, "RawMessageDelivery", "true")
		b.inject(snsserver.Rule{Action: snsserver.Deliver, Times: 1, Delay: time.Minute})
		group := func(in *sns.PublishInput) { in.MessageGroupId = aws.String("g") }
		b.publish(topic, "1", group)
		b.publish(topic, "2", group)
		time.Sleep(59 * time.Second)
		if got := b.queues.bodies(queue); got != nil {
			b.Errorf("early: %q", got)
		}
		if d := b.server.Deliveries(topic); d[0].String() != "underway after 0 tries: a Delay holds it back" ||
			d[1].String() != "underway after 0 tries: an earlier message of the group is not through" {
			b.Errorf("%v\n%v", &d[0], &d[1])
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"1", "2"}, b.queues.bodies(queue)); diff != "" {
			b.Errorf("queue (-want +got):\n%s", diff)
		}
	})

	bubble(t, "Delay and Cut come together, and are over with their try", func(b *bundle) {
		topic, queue := b.topic("orders"), b.queue("billing")
		b.subscribe(topic, queue)
		delay := b.inject(snsserver.Rule{Action: snsserver.Deliver, Delay: time.Minute, Times: 5})
		b.inject(snsserver.Rule{Action: snsserver.Deliver, Cut: true, Times: 1})
		id := b.publish(topic, "x")
		time.Sleep(90 * time.Second)
		if got := b.server.Why(id, queue); got != "underway after 1 tries: a Delay holds it back" {
			b.Errorf("after 90 s: %s", got)
		}
		time.Sleep(time.Minute)
		if got := b.server.Why(id, queue); got != "delivered at try 2" || delay.Hits() != 2 {
			b.Errorf("at last: %s, %d delays", got, delay.Hits())
		}
	})

	bubble(t, "Spare lets a share pass, the same each time", func(b *bundle) {
		var runs [2][]string
		for i := range runs {
			topic, queue := b.topic(fmt.Sprint("t", i)), b.queue(fmt.Sprint("q", i))
			b.subscribe(topic, queue, "RawMessageDelivery", "true")
			b.inject(snsserver.Rule{Action: snsserver.Deliver, Topic: fmt.Sprint("t", i), Spare: 0.5, Seed: 7, Fail: throttled})
			for n := range 100 {
				b.publish(topic, fmt.Sprint(n))
			}
			runs[i] = b.queues.bodies(queue)
		}
		if !slices.Equal(runs[0], runs[1]) || len(runs[0]) < 30 || len(runs[0]) > 70 {
			b.Errorf("%d and %d of 100 came through", len(runs[0]), len(runs[1]))
		}
	})
}

func TestRulesThatCannotStrike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct {
		rule snsserver.Rule
		want string
	}{
		{snsserver.Rule{Action: "Fly", Cut: true}, `Action "Fly" is no operation of this server`},
		{snsserver.Rule{Topic: "a b", Cut: true}, `Topic "a b" is no name of a topic`},
		{snsserver.Rule{Action: "Publish", Queue: "q", Cut: true}, `Queue "q" is for rules with the Action Deliver`},
		{snsserver.Rule{After: -1, Every: -2, Times: -3, Cut: true}, "After -1 is below 0\nEvery -2 is below 0\nTimes -3 is below 0"},
		{snsserver.Rule{Spare: 2, Cut: true}, "Spare 2 is not in 0..1"},
		{snsserver.Rule{Delay: -1}, "Delay -1ns is below 0\n0 of Fail, Delay, Cut, Drop, Hang and FailEntry are set, want 1"},
		{snsserver.Rule{OnReply: true, Cut: true}, "OnReply is for rules with a Delay, and not for deliveries"},
		{snsserver.Rule{Action: snsserver.Deliver, Hang: true}, "Hang is not for deliveries"},
		{snsserver.Rule{Action: "Publish", FailEntry: internal}, `Action "Publish" has no entries that could fail`},
		{snsserver.Rule{Cut: true, Drop: true}, "2 of Fail, Delay, Cut, Drop, Hang and FailEntry are set, want 1"},
	} {
		if _, err := b.server.Inject(c.rule); fmt.Sprint(err) != c.want {
			t.Errorf("%+v: %v\nwant %s", c.rule, err, c.want)
		}
	}
}
