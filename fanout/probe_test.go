package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// What a probe of one subscription leaves on the queues of the others: SNS delivers
// it to each whose filter it passes, sooner or later.
func TestVerifyTakesEveryCopyOfItsProbes(t *testing.T) {
	t.Parallel()
	for n := range 3 {
		t.Run(fmt.Sprintf("copy %d on a queue comes long after all paths have delivered", n), func(t *testing.T) { copyIsLate(t, n, false) })
		t.Run(fmt.Sprintf("copy %d is late, and others come twice", n), func(t *testing.T) { copyIsLate(t, n, true) })
	}
	t.Run("one reaches a queue whose own subscription no message is known for", copyWithoutAProbe)
	t.Run("one is for a queue that is gone", copyForNoQueue)
	t.Run("one is dead-lettered for another queue that shares the dead-letter queue", copyInSharedDLQ)
	t.Run("one does not pass the filter in force", copyIsFiltered)
}

// lateOf tells what lies on the queues when all is delivered.
func lateOf(t *testing.T, srv *sqstest.Server) []string {
	t.Helper()
	time.Sleep(time.Minute)
	return leftOf(t, srv)
}

func copyIsLate(t *testing.T, n int, twice bool) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		if twice {
			srv.Ghost("billing")
		}
		apply(t, srv, shop(), fanout.Config{PolicySpread: -1})
		srv.Delay(sqstest.Deliver, 9*time.Second, sqstest.OnQueue("audit"), sqstest.After(n), sqstest.Times(1))
		began := time.Now()
		if r := verify(t, srv, shop(), fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		if took := time.Since(began); took < 9*time.Second || took > 12*time.Second {
			t.Errorf("it took %v", took)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

// copyWithoutAProbe has a filter which nothing is found for, and which the probe of
// another subscription passes all the same.
func copyWithoutAProbe(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Subscriptions[2].Filter = fanout.FilterJSON(`{"kind":[{"anything-but":{"suffix":["0","1","2","3","4","5","6","7","8","9"]}}]}`)
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		srv.Delay(sqstest.Deliver, 9*time.Second, sqstest.OnQueue("audit"))
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); r.Paths[2].Cause != fanout.CauseNotProbed || !r.Paths[1].Delivered {
			t.Errorf("report:\n%s", r)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

func copyForNoQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, shop(), fanout.Config{PolicySpread: -1})
		if _, err := srv.SQS().DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &srv.Queue(t, "audit").URL}); err != nil {
			t.Fatal(err)
		}
		srv.Delay(sqstest.Deliver, 9*time.Second, sqstest.OnQueue("audit"))
		r := verify(t, srv, shop(), fanout.VerifyConfig{})
		if !r.Paths[0].Delivered || !r.Paths[1].Delivered || r.Paths[2].Cause != fanout.CauseEndpoint {
			t.Errorf("report:\n%s", r)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

// copyInSharedDLQ has workers on two queues that share a dead-letter queue. What the
// one dead-letters does not say that the other was reached.
func copyInSharedDLQ(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Subscriptions = []fanout.Subscription{topology.Subscriptions[0], topology.Subscriptions[2]}
		topology.Queues[0].DLQ.Name, topology.Queues[2].DLQ.Name = "dead", "dead"
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		set(t, srv, "billing", "Policy", "")
		srv.Queue(t, "billing").Send(t, "work")
		srv.Queue(t, "audit").Send(t, "work")
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, queue := range []string{"billing", "audit"} {
			work := func(ctx context.Context, _ *holdfast.Message) error { <-ctx.Done(); return ctx.Err() }
			c, err := consumer.New(srv.SQS(), queue, holdfast.HandlerFunc(work), consumer.Config{})
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { _ = c.Run(ctx) })
		}
		synctest.Wait()
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		if r.Paths[0].Delivered || r.Paths[0].Cause != fanout.CausePolicy || !r.Paths[1].Delivered {
			t.Errorf("report:\n%s", r)
		}
		cancel()
		wg.Wait()
	})
}

// copyIsFiltered changes the filter behind the topology's back: where no copy comes,
// none is waited for.
func copyIsFiltered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Subscriptions[2].Filter = fanout.Where("kind", fanout.Is("nothing"))
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		began := time.Now()
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

// What Verify must not say or do where its probes meet others.
func TestVerifyAmongOthers(t *testing.T) {
	t.Parallel()
	t.Run("does not take what SNS could not deliver for delivered where queue and subscription share a dead-letter queue", verifySharedWithSNS)
	t.Run("takes what SQS moved after too many receives for delivered, also where queue and subscription share a dead-letter queue", verifyMovedBySQS)
	t.Run("does not take a copy for delivered where a subscribed queue is the dead-letter queue of another", verifySubscribedDLQ)
	t.Run("nor where that one holds messages", verifyBusyDLQ)
	t.Run("costs no message of workers the only receive it has", verifySparesReceives)
	t.Run("takes the probes that it sent where it may not send another", verifyUnsent)
	t.Run("ends at once where one queue may not be read", verifyUnreadable)
	t.Run("does not blame a policy that denies those without TLS alone", verifyDeniesPlain)
	t.Run("finds a message for a filter with a choice and a rule on one key", verifyChoice)
	t.Run("sends nothing to a declared queue elsewhere unasked, and does not wait for what it cannot see", verifyQueueElsewhere)
	t.Run("takes what SNS could not deliver to a queue elsewhere", verifyUndeliveredElsewhere)
	t.Run("says at once that a queue with messages and without a dead-letter queue shows no probe", verifyUnseen)
	t.Run("says of a dead-letter queue with many messages that it was not read to its end", verifyManyStrangers)
	t.Run("waits as long as queues delay what they get", verifyDelayed)
	t.Run("ends when work comes to a queue without a dead-letter queue", verifyUnseenLater)
}

// sharing has one dead-letter queue for its queue and its subscription.
func sharing() fanout.Topology {
	topology := small()
	topology.Queues = append(topology.Queues, fanout.Queue{Name: "dead", Retention: 14 * 24 * time.Hour, DLQ: fanout.DeadLetter{Off: true}})
	topology.Queues[0].DLQ.Name, topology.Subscriptions[0].DLQ.Name = "dead", "dead"
	return topology
}

func verifySharedWithSNS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := sharing()
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		set(t, srv, "billing", "Policy", "")
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); r.Paths[0].Delivered || r.Paths[0].Cause != fanout.CausePolicy {
			t.Errorf("without a policy:\n%s", r)
		}
	})
}

// verifyMovedBySQS has a worker of others, which knows no cause and handles nothing.
func verifyMovedBySQS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := sharing()
		topology.Queues[0].DLQ.MaxReceives = 2
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		url, client := srv.Queue(t, "billing").URL, srv.SQS()
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 1, WaitTimeSeconds: 1})
			}
		})
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		cancel()
		wg.Wait()
	})
}

func verifySubscribedDLQ(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Queues[2].Retention = 14 * 24 * time.Hour
		topology.Queues[0].DLQ.Name = "audit"
		topology.Subscriptions[0].DLQ.Off = true
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		set(t, srv, "billing", "Policy", "")
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		if r.Paths[0].Delivered || r.Paths[0].Cause != fanout.CausePolicy || !r.Paths[2].Delivered {
			t.Errorf("without a policy:\n%s", r)
		}
	})
}

func verifySparesReceives(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := small()
		topology.Queues[0].DLQ.MaxReceives = 1
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		q := srv.Queue(t, "billing")
		srv.Delay(sqstest.Deliver, 10*time.Second)
		go func() {
			for range 40 {
				time.Sleep(200 * time.Millisecond)
				q.Send(t, "work")
			}
		}()
		var seen []string
		done := make(chan struct{})
		go func() { defer close(done); seen = consume(t, srv, time.Minute, consumer.Config{}) }()
		synctest.Wait()
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		<-done
		if left := leftOf(t, srv); len(seen) != 40 || len(left) > 0 {
			t.Errorf("handled %d of 40; left on queues: %q", len(seen), left)
		}
	})
}

func verifyUnsent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := small()
		topology.Topics = append(topology.Topics, fanout.Topic{Name: "other"})
		topology.Queues = append(topology.Queues, fanout.Queue{Name: "elsewhere"})
		topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "other", Queue: "elsewhere"})
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		srv.Fail("Publish", sqstest.AccessDenied, sqstest.OnTopic("other"))
		srv.Delay(sqstest.Deliver, 9*time.Second)
		began := time.Now()
		_, err := fanout.Verify(t.Context(), clientsOf(srv), topology, fanout.VerifyConfig{})
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %v: it waited for what was not sent", took)
		}
		if denied := (*fanout.AccessError)(nil); !errors.As(err, &denied) || denied.Action != "sns:Publish" {
			t.Errorf("error %v, want an AccessError for sns:Publish", err)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

func verifyUnreadable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, shop(), fanout.Config{PolicySpread: -1})
		srv.Fail("ReceiveMessage", sqstest.AccessDenied, sqstest.OnQueue("audit-dlq"))
		srv.Delay(sqstest.Deliver, time.Hour)
		began := time.Now()
		_, err := fanout.Verify(t.Context(), clientsOf(srv), shop(), fanout.VerifyConfig{})
		if denied := (*fanout.AccessError)(nil); !errors.As(err, &denied) || denied.Action != "sqs:ReceiveMessage" {
			t.Errorf("error %v, want an AccessError for sqs:ReceiveMessage", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func verifyDeniesPlain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		policy := policyOf(t, srv, "billing")
		deny := func(condition string) {
			set(t, srv, "billing", "Policy", strings.Replace(policy, `"Statement":[`, `"Statement":[{"Sid":"TLS","Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*"`+condition+`},`, 1))
		}
		deny(`,"Condition":{"Bool":{"aws:SecureTransport":"false"}}`)
		srv.Delay(sqstest.Deliver, time.Hour)
		if r := verify(t, srv, small(), fanout.VerifyConfig{}); r.Paths[0].Cause != fanout.CauseUnknown {
			t.Errorf("report:\n%s", r)
		}
		deny(`,"Condition":{"Bool":{"aws:SecureTransport":"false"},"ArnLike":{"aws:SourceArn":"*"}}`)
		if r := verify(t, srv, small(), fanout.VerifyConfig{}); r.Paths[0].Cause != fanout.CausePolicy {
			t.Errorf("with another condition too:\n%s", r)
		}
		// Where no probe is sent a statement that may deny is no verdict.
		srv.Topic(t, "orders").Subscribe(t, srv.Queue(t, "others"))
		if r := verify(t, srv, small(), fanout.VerifyConfig{}); r.Paths[0].Cause != fanout.CauseNotProbed {
			t.Errorf("with a stranger subscribed:\n%s", r)
		}
	})
}

func verifyChoice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := small()
		choice := fanout.Filter{}.AndAnyOf(fanout.Where("kind", fanout.Is("order-eu")), fanout.Where("vip", fanout.Is("y")))
		topology.Subscriptions[0].Filter = choice.And("kind", fanout.Prefix("order"))
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
	})
}

// elsewhereToo is a shop whose topic also feeds a queue of another topology, with a filter.
func elsewhereToo(t *testing.T, srv *sqstest.Server, filter fanout.Filter) (fanout.Topology, *sqstest.Queue) {
	t.Helper()
	theirs := srv.Queue(t, "theirs")
	set(t, srv, "theirs", "Policy", strings.ReplaceAll(`{"Statement":{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"ARN"}}`, "ARN", theirs.ARN))
	topology := shop()
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "orders", Queue: theirs.ARN, Filter: filter})
	apply(t, srv, topology, fanout.Config{PolicySpread: -1})
	return topology, theirs
}

func verifyQueueElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology, theirs := elsewhereToo(t, srv, fanout.Where("kind", fanout.Is("goods")))
		// The probe of shipping is of that kind, those of the others are not.
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		if p := r.Paths[1]; p.Cause != fanout.CauseNotProbed || p.Why != theirs.ARN+" is not of the topology and would get the probe: set Foreign" {
			t.Errorf("%s", &p)
		}
		if n := len(theirs.Messages()); !r.Paths[0].Delivered || !r.Paths[2].Delivered || n != 0 {
			t.Errorf("their queue has %d messages, report:\n%s", n, r)
		}
		began := time.Now()
		r = verify(t, srv, topology, fanout.VerifyConfig{Foreign: true})
		if took, n := time.Since(began), len(theirs.Messages()); !r.Paths[1].Delivered || n != 1 || took > 5*time.Second {
			t.Errorf("with Foreign it took %v, their queue has %d messages, report:\n%s", took, n, r)
		}
	})
}

func verifyUndeliveredElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology, _ := elsewhereToo(t, srv, fanout.Filter{})
		set(t, srv, "theirs", "Policy", "")
		srv.Delay(sqstest.Deliver, 5*time.Second, sqstest.OnQueue("audit"))
		if r := verify(t, srv, topology, fanout.VerifyConfig{Foreign: true}); !r.Paths[0].Delivered || !r.Paths[1].Delivered || !r.Paths[2].Delivered {
			t.Errorf("report:\n%s", r)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

func verifyUnseen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Queues[2].DLQ.Off = true
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		srv.Queue(t, "audit").Send(t, "work")
		began := time.Now()
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		const why = "the queue holds messages, so it is not read, and without a dead-letter queue that is read a probe cannot be seen"
		if p := r.Paths[2]; p.Cause != fanout.CauseNotProbed || p.Why != why || !r.Paths[0].Delivered || !r.Paths[1].Delivered {
			t.Errorf("report:\n%s", r)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		set(t, srv, "audit", "Policy", "") // what can be seen is worth more
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); r.Paths[2].Cause != fanout.CausePolicy {
			t.Errorf("without a policy:\n%s", r)
		}
	})
}

func verifyUnseenLater(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Queues[2].DLQ.Off = true
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		srv.Delay(sqstest.Deliver, 10*time.Second, sqstest.OnQueue("audit"))
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(6 * time.Second)
			srv.Queue(t, "audit").Send(t, "work")
		})
		began := time.Now()
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		const why = "nothing can be seen that is wrong, nor the probe: the queue holds messages, or gives them fewer than 3 receives, so it was not read on, and has no dead-letter queue that is read"
		if p := r.Paths[2]; p.Cause != fanout.CauseUnknown || p.Why != why || !r.Paths[0].Delivered || !r.Paths[1].Delivered {
			t.Errorf("report:\n%s", r)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		wg.Wait()
	})
}

func verifyManyStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		srv.Queue(t, "billing-orders-undelivered").SendN(t, 120)
		srv.Fail(sqstest.Deliver, sqstest.Custom("InvalidParameterValue", 400, "odd"), sqstest.OnQueue("billing"))
		srv.Delay(sqstest.Deliver, 10*time.Second, sqstest.OnQueue("billing"))
		r := verify(t, srv, small(), fanout.VerifyConfig{})
		const want = "nothing can be seen that is wrong, and the probe did not arrive within 30s; it may be in the dead-letter queue billing-orders-undelivered, which has so many messages of others that it was not read to its end"
		if p := r.Paths[0]; p.Cause != fanout.CauseUnknown || p.Why != want {
			t.Errorf("%s", &p)
		}
		// The same for the queue's own: a worker keeps the probe from its handler.
		dead := srv.Queue(t, "billing-dlq")
		dead.SendN(t, 120)
		srv.Queue(t, "billing").Send(t, "work")
		if p := verify(t, srv, small(), fanout.VerifyConfig{}).Paths[0]; !strings.Contains(p.Why, "so it was not read on; it may be in the dead-letter queue billing-dlq, which has so many") {
			t.Errorf("%s", &p)
		}
	})
}

func verifyDelayed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Queues[0].Delay = time.Minute
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() || r.Paths[0].Took < time.Minute {
			t.Errorf("report:\n%s", r)
		}
		if left := lateOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
		// Somebody set it to the most there can be.
		set(t, srv, "billing", "DelaySeconds", "900")
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() || r.Paths[0].Took < 15*time.Minute {
			t.Errorf("report:\n%s", r)
		}
	})
}

func verifyBusyDLQ(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := shop()
		topology.Queues[2].Retention = 14 * 24 * time.Hour
		topology.Queues[0].DLQ.Name, topology.Queues[0].DLQ.MaxReceives = "audit", 1
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		srv.Queue(t, "audit").Send(t, "work")
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		// That dead-letter queue was read all the same, so it is not blamed.
		if p := r.Paths[0]; p.Delivered || p.Cause != fanout.CauseUnknown || !strings.HasSuffix(p.Why, "fewer than 3 receives, so it was not read") {
			t.Errorf("%s", &p)
		}
	})
}
