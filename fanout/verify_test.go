package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

func verify(t *testing.T, srv *sqstest.Server, topology fanout.Topology, cfg fanout.VerifyConfig) *fanout.Report {
	t.Helper()
	r, err := fanout.Verify(t.Context(), clientsOf(srv), topology, cfg)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

// leftOf tells what lies on the queues of a topology after Verify.
func leftOf(t *testing.T, srv *sqstest.Server) (out []string) {
	t.Helper()
	listed, err := srv.SQS().ListQueues(t.Context(), &sqs.ListQueuesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range listed.QueueUrls {
		q := srv.Queue(t, url[strings.LastIndexByte(url, '/')+1:])
		for _, m := range q.Messages() {
			out = append(out, q.Name+": "+m.Body)
		}
	}
	return out
}

func TestVerify(t *testing.T) {
	t.Parallel()
	t.Run("finds that every path delivers, and leaves nothing behind", verifyDelivers)
	t.Run("finds that every path delivers while workers run, whose handlers see no probe", verifyWithWorkers)
	t.Run("names what is wrong", verifyFails)
	t.Run("leaves topics alone that others are subscribed to", verifyForeign)
	t.Run("does not read a queue that holds messages", verifyBusy)
	t.Run("gives back the messages of others that it meets in dead-letter queues", verifyStrangers)
	t.Run("cannot be answered by a forged probe", verifyForged)
	t.Run("ends with its context", verifyCancelled)
}

func verifyDelivers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := everyFilter()
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		began := time.Now()
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		if took := time.Since(began); !r.OK() || len(r.Paths) != len(topology.Subscriptions) || took > 15*time.Second {
			t.Errorf("it took %v, report:\n%s", took, r)
		}
		if left := leftOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

// everyFilter has a subscription for each kind of filter, of queue and of delivery.
func everyFilter() fanout.Topology {
	topology := shop()
	topology.Subscriptions[2].Filter = fanout.Where("a", fanout.Not("x"), fanout.Is("y")).And("b", fanout.Between(1, 2)).And("c", fanout.Missing())
	topology.Topics = append(topology.Topics, fanout.Topic{Name: "steps.fifo"})
	topology.Queues = append(topology.Queues, fanout.Queue{Name: "steps.fifo"})
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "steps.fifo", Queue: "steps.fifo"})
	add := func(name string, onBody bool, filter fanout.Filter) {
		topology.Queues = append(topology.Queues, fanout.Queue{Name: name})
		topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "orders", Queue: name, Filter: filter, OnBody: onBody, Raw: name[0] < 'f'})
	}
	add("body", true, fanout.Filter{}.In("order", fanout.Where("cents", fanout.AtLeast(100)).And("state", fanout.Prefix("pa"))).And("vip", fanout.IsBool(true)))
	add("cidr", false, fanout.Where("ip", fanout.CIDR("10.1.0.0/16")).And("name", fanout.EqualFold("Max")))
	add("edges", false, fanout.Where("a", fanout.Suffix("z")).And("b", fanout.Wildcard("x*y")).And("c", fanout.NotNumber(0, 1)))
	add("either", false, fanout.Where("a", fanout.Exists()).AndAnyOf(fanout.Where("b", fanout.NotPrefix("0")), fanout.Where("c", fanout.Below(5))))
	add("numbers", true, fanout.Where("n", fanout.Above(7)).And("m", fanout.AtMost(-7)).And("z", fanout.IsNull()).And("s", fanout.NotSuffix("0")))
	add("absent", true, fanout.Where("deleted", fanout.Missing()))
	return topology
}

func verifyWithWorkers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := everyFilter()
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mu sync.Mutex
		var seen, unready []string
		for i, q := range topology.Queues {
			var cfg consumer.Config
			if i%2 == 0 { // envelopes of other topics are left wrapped, and probes are seen in them too
				cfg.Topics = []string{elsewhere}
			}
			c, err := consumer.New(srv.SQS(), q.Name, holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, m.Body)
				return nil
			}), cfg)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if err := c.Run(ctx); err != nil {
					t.Errorf("run: %v", err)
				}
			})
			defer func() {
				if h := c.Health(); !h.Ready {
					unready = append(unready, q.Name)
				}
			}()
		}
		synctest.Wait()
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		if !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		if len(seen)+len(unready) > 0 {
			t.Errorf("handlers saw %q; not ready: %q", seen, unready)
		}
		if left := leftOf(t, srv); len(left) > 0 {
			t.Errorf("left on queues: %q", left)
		}
	})
}

func verifyFails(t *testing.T) {
	t.Parallel()
	unset := func(t *testing.T, srv *sqstest.Server) { set(t, srv, "billing", "Policy", "") }
	ofSub := func(name, value string) func(t *testing.T, srv *sqstest.Server) {
		return func(t *testing.T, srv *sqstest.Server) {
			if _, err := srv.SNS().SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{
				SubscriptionArn: aws.String(subscriptionARN(t, srv)), AttributeName: &name, AttributeValue: &value,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, srv *sqstest.Server)
		cause fanout.Cause
		why   string
	}{
		"the policy is gone": {unset, fanout.CausePolicy, "the queue has no policy"},
		"the statement is gone": {func(t *testing.T, srv *sqstest.Server) {
			set(t, srv, "billing", "Policy", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:ReceiveMessage"}}`)
		}, fanout.CausePolicy, "has no statement HoldfastFromorders"},
		"a statement denies": {func(t *testing.T, srv *sqstest.Server) {
			policy := policyOf(t, srv, "billing")
			set(t, srv, "billing", "Policy", strings.Replace(policy, `"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage"},`, 1))
		}, fanout.CausePolicy, "a statement of the queue's policy denies"},
		"the filter is another":         {ofSub("FilterPolicy", `{"kind":["none"]}`), fanout.CauseFilter, `the filter policy in force is {"kind":["none"]} (MessageAttributes), and declared is none (none)`},
		"the policy is gone, no letter": {func(t *testing.T, srv *sqstest.Server) { unset(t, srv); ofSub("RedrivePolicy", "{}")(t, srv) }, fanout.CausePolicy, "the queue has no policy"},
		"the key may not be used": {func(t *testing.T, srv *sqstest.Server) {
			set(t, srv, "billing", "KmsMasterKeyId", "alias/mine")
			srv.Fail(sqstest.Deliver, sqstest.Custom("KMS.AccessDeniedException", 400, "The ciphertext refers to a key that you may not use"), sqstest.OnQueue("billing"))
		}, fanout.CauseKMS, "encrypted with the key alias/mine"},
		"the key is that of AWS": {func(t *testing.T, srv *sqstest.Server) {
			set(t, srv, "billing", "KmsMasterKeyId", "alias/aws/sqs")
			srv.Fail(sqstest.Deliver, sqstest.Custom("KMS.DisabledException", 400, "no"), sqstest.OnQueue("billing"))
		}, fanout.CauseKMS, "alias/aws/sqs, which SNS may not use"},
		"the queue is gone": {func(t *testing.T, srv *sqstest.Server) {
			if _, err := srv.SQS().DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &srv.Queue(t, "billing").URL}); err != nil {
				t.Fatal(err)
			}
		}, fanout.CauseEndpoint, "the queue does not exist"},
		"the subscription is gone": {func(t *testing.T, srv *sqstest.Server) {
			if _, err := srv.SNS().Unsubscribe(t.Context(), &sns.UnsubscribeInput{SubscriptionArn: aws.String(subscriptionARN(t, srv))}); err != nil {
				t.Fatal(err)
			}
		}, fanout.CauseSubscription, "the queue is not subscribed to the topic"},
		"the topic is gone": {func(t *testing.T, srv *sqstest.Server) {
			if _, err := srv.SNS().DeleteTopic(t.Context(), &sns.DeleteTopicInput{TopicArn: aws.String(ordersARN)}); err != nil {
				t.Fatal(err)
			}
		}, fanout.CauseSubscription, "the topic does not exist"},
		"nobody knows": {func(_ *testing.T, srv *sqstest.Server) {
			srv.Delay(sqstest.Deliver, time.Hour)
		}, fanout.CauseUnknown, "nothing can be seen that is wrong, and the probe did not arrive within 30s"},
		"SNS knows": {func(_ *testing.T, srv *sqstest.Server) {
			srv.Fail(sqstest.Deliver, sqstest.Custom("InvalidParameterValue", 400, "odd"), sqstest.OnQueue("billing"))
		}, fanout.CauseUnknown, "SNS could not deliver it and put it on the subscription's dead-letter queue"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t, sqstest.NoSignature())
				apply(t, srv, small(), fanout.Config{PolicySpread: -1})
				tt.spoil(t, srv)
				r := verify(t, srv, small(), fanout.VerifyConfig{})
				if p := r.Paths[0]; r.OK() || p.Delivered || p.Cause != tt.cause || !strings.Contains(p.Why, tt.why) {
					t.Errorf("%s, want %s: %s", &p, tt.cause, tt.why)
				}
				if left := leftOf(t, srv); len(left) > 0 {
					t.Errorf("left on queues: %q", left)
				}
			})
		})
	}
}

func verifyForeign(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := small()
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		others := srv.Queue(t, "others")
		srv.Topic(t, "orders").Subscribe(t, others)
		r := verify(t, srv, topology, fanout.VerifyConfig{})
		if p := r.Paths[0]; p.Cause != fanout.CauseNotProbed || !strings.Contains(p.Why, others.ARN+" is subscribed too") || len(others.Messages()) != 0 {
			t.Errorf("%s; others got %d messages", &p, len(others.Messages()))
		}
		if r := verify(t, srv, topology, fanout.VerifyConfig{Foreign: true}); !r.OK() || len(others.Messages()) != 1 {
			t.Errorf("with Foreign:\n%s; others got %d messages", r, len(others.Messages()))
		}
		set(t, srv, "billing", "Policy", "") // what can be seen without a probe is told all the same
		if r := verify(t, srv, topology, fanout.VerifyConfig{}); r.Paths[0].Cause != fanout.CausePolicy {
			t.Errorf("without a policy:\n%s", r)
		}
	})
}

func verifyBusy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		q := srv.Queue(t, "billing")
		id := q.Send(t, "work")
		r := verify(t, srv, small(), fanout.VerifyConfig{})
		if p := r.Paths[0]; p.Cause != fanout.CauseUnknown || !strings.Contains(p.Why, "the queue holds messages, or gives them fewer than 3 receives, so it was not read") {
			t.Errorf("%s", &p)
		}
		if q.Receives(id) != 0 {
			t.Errorf("the message was received %d times", q.Receives(id))
		}
		// A worker meets the probe among the work.
		var seen []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			seen = consume(t, srv, 20*time.Second, consumer.Config{})
		}()
		q.SendN(t, 50)
		r = verify(t, srv, small(), fanout.VerifyConfig{})
		<-done
		if !r.OK() || len(seen) != 51 {
			t.Errorf("with a worker, which did %d of 51:\n%s", len(seen), r)
		}
	})
}

func verifyStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		dead := srv.Queue(t, "billing-dlq")
		ids := dead.SendN(t, 25)
		if r := verify(t, srv, small(), fanout.VerifyConfig{}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		if d := dead.Depth(); d != (sqstest.Depth{Visible: 25}) {
			t.Errorf("the dead-letter queue: %+v, want all of its messages visible", d)
		}
		for _, id := range ids {
			if n := dead.Receives(id); n > 1 {
				t.Errorf("a message of others was received %d times", n)
			}
		}
	})
}

// verifyForged sends what pretends to be a probe: nobody loses it, and it answers for
// none.
func verifyForged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		q, dead := srv.Queue(t, "billing"), srv.Queue(t, "billing-dlq")
		q.Send(t, "real work", sqstest.StringAttribute("holdfast-probe", "AAAAAAAAAAAAAAAAAAAAAAAAAA"))
		// Workers keep it from handlers, and keep it.
		if seen := consume(t, srv, 30*time.Second, consumer.Config{}); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		held := dead.Messages()
		if len(held) != 1 || held[0].Body != "real work" {
			t.Fatalf("dead-lettered %+v, want the message as it was", held)
		}
		var cause struct{ Cause string }
		if err := json.Unmarshal([]byte(held[0].Attributes[consumer.CauseAttribute].Text), &cause); err != nil || cause.Cause != "probe" {
			t.Errorf("cause %+v, %v", cause, err)
		}
		// And Verify takes it neither for its own nor away.
		set(t, srv, "billing", "Policy", "")
		if r := verify(t, srv, small(), fanout.VerifyConfig{}); r.OK() {
			t.Errorf("report:\n%s", r)
		}
		if held := dead.Messages(); len(held) != 1 || held[0].State != sqstest.Visible {
			t.Errorf("after verify: %+v", held)
		}
	})
}

func verifyCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		set(t, srv, "billing", "Policy", "")
		stopped := errors.New("stopped")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, stopped)
		defer cancel()
		srv.Delay(sqstest.Deliver, time.Minute)
		if _, err := fanout.Verify(ctx, clientsOf(srv), small(), fanout.VerifyConfig{}); !errors.Is(err, stopped) {
			t.Errorf("%v, want %v", err, stopped)
		}
		_, err := fanout.Verify(t.Context(), clientsOf(srv), small(), fanout.VerifyConfig{Timeout: time.Hour})
		if want := "fanout: VerifyConfig.Timeout is 1h0m0s; it must be 1s to 15m0s"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
}

func verifyPermissions(t *testing.T) {
	t.Parallel()
	leastFor(t, func(srv *sqstest.Server) string {
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		text, err := fanout.VerifyPermissions(small())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error {
		lost := srv.Queue(t, "billing-orders-undelivered")
		lost.Send(t, "of others")
		srv.Delay(sqstest.Deliver, 5*time.Second) // so that the message of others is met
		if _, err := fanout.Verify(t.Context(), least(srv), small(), fanout.VerifyConfig{}); err != nil {
			return err
		}
		if lost.Depth().Visible != 1 {
			return errors.New("a message of others was not given back")
		}
		return nil
	})
}

func TestReportsAreText(t *testing.T) {
	t.Parallel()
	r := fanout.Report{Paths: []fanout.Path{
		{Topic: ordersARN, Queue: billingARN, Delivered: true, Took: 1500 * time.Microsecond},
		{Topic: ordersARN, Queue: billingARN + "2", Cause: fanout.CausePolicy, Why: "it says no"},
	}}
	want := "ok      orders -> billing in 2ms\nFAILS   orders -> billing2: policy: it says no\n"
	if diff := cmp.Diff(want, r.String()); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}
