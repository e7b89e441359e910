package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// publishWhile publishes a message of each kind every 500 ms while f runs, and a few
// after it, and returns what was published by kind. The attribute kind says it, and
// the member type of the body, for filters that look there.
func publishWhile(tb testing.TB, topic *sqstest.Topic, kinds []string, f func()) (published map[string][]string) {
	tb.Helper()
	published = map[string][]string{}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for after := 0; after < 3; {
			select {
			case <-done:
				after++
			case <-time.After(500 * time.Millisecond):
			}
			for _, kind := range kinds {
				body := fmt.Sprintf(`{"n": %d, "type": %q}`, len(published[kind]), kind)
				topic.Publish(tb, body, sqstest.StringAttribute("kind", kind))
				published[kind] = append(published[kind], body)
			}
		}
	})
	f()
	close(done)
	wg.Wait()
	return published
}

// undelivered is what a topic could not deliver to the queues that are subscribed to
// it.
func undelivered(topic *sqstest.Topic) (out []string) {
	for _, d := range topic.Deliveries() {
		if d.Status != sqstest.Delivered && d.Status != sqstest.Filtered {
			out = append(out, fmt.Sprintf("%s to %s: %s, %s", d.MessageID, d.Queue, d.Status, d.Why))
		}
	}
	return out
}

func bodies(q *sqstest.Queue) (out []string) {
	for _, m := range q.Messages() {
		out = append(out, m.Body)
	}
	return out
}

func rawShop() fanout.Topology {
	topology := shop()
	for i := range topology.Subscriptions {
		topology.Subscriptions[i].Raw = true
	}
	return topology
}

func TestNothingPublishedDuringAChangeIsLost(t *testing.T) {
	t.Parallel()
	t.Run("where a topology is made on a topic that is in use", publishedWhileMade)
	t.Run("where a filter is widened, a queue added and a policy merged", publishedWhileWidened)
	t.Run("where a filter moves from the attributes to the body and back", publishedWhileScopeChanges)
	t.Run("where apply is cut between the policies and the subscriptions and run again", publishedAfterACut)
}

func publishedWhileMade(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.PolicySpread(time.Minute), sqstest.NoSignature())
		topic := srv.Topic(t, "orders")
		publishWhile(t, topic, []string{"goods", "service"}, func() { apply(t, srv, rawShop(), fanout.Config{}) })
		if lost := undelivered(topic); len(lost) > 0 {
			t.Errorf("%d deliveries were refused, the first: %s", len(lost), lost[0])
		}
		if n := srv.Queue(t, "billing").Depth().Visible; n < 3 {
			t.Errorf("%d messages arrived: the test shows nothing", n)
		}
	})
}

func publishedWhileWidened(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.PolicySpread(time.Minute), sqstest.NoSignature())
		before := rawShop()
		before.Queues, before.Subscriptions = before.Queues[:2], before.Subscriptions[:2]
		apply(t, srv, before, fanout.Config{})
		// The queue that is to be added is there, with a policy of somebody else.
		others := `{"Version":"2012-10-17","Statement":[{"Sid":"theirs","Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sqs:SendMessage","Resource":"*"}]}`
		audit := srv.Queue(t, "audit", sqstest.QueueAttribute("Policy", others))

		after := rawShop()
		after.Subscriptions[1].Filter = fanout.Where("kind", fanout.Is("goods", "gifts"))
		topic := srv.Topic(t, "orders")
		published := publishWhile(t, topic, []string{"goods", "gifts"}, func() { apply(t, srv, after, fanout.Config{}) })
		billing, shipping := srv.Queue(t, "billing"), srv.Queue(t, "shipping")
		if lost := undelivered(topic); len(lost) > 0 {
			t.Errorf("%d deliveries were refused, the first: %s", len(lost), lost[0])
		}
		// What the old and the new filter let through came all the time.
		got := bodies(shipping)
		for _, body := range published["goods"] {
			if !slices.Contains(got, body) {
				t.Errorf("shipping misses %s", body)
			}
		}
		if len(bodies(billing)) != len(published["goods"])+len(published["gifts"]) {
			t.Errorf("billing has %d of %d", len(bodies(billing)), 2*len(published["goods"]))
		}
		if last := published["gifts"][len(published["gifts"])-1]; !slices.Contains(got, last) || !slices.Contains(bodies(audit), last) {
			t.Errorf("what was published after apply is not in shipping and audit: %s", last)
		}
	})
}

func publishedWhileScopeChanges(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := rawShop()
		apply(t, srv, topology, fanout.Config{})
		topic, shipping := srv.Topic(t, "orders"), srv.Queue(t, "shipping")
		for _, onBody := range []bool{true, false, true} {
			filter := fanout.Where("kind", fanout.Is("goods"))
			if onBody {
				filter = fanout.Where("type", fanout.Is("goods"))
			}
			topology.Subscriptions[1].Filter, topology.Subscriptions[1].OnBody = filter, onBody
			// Every call takes a second, so that messages meet each state in between.
			slow := srv.Delay("SetSubscriptionAttributes", time.Second)
			published := publishWhile(t, topic, []string{"goods"}, func() { apply(t, srv, topology, fanout.Config{PolicySpread: -1}) })
			slow.Stop()
			got := bodies(shipping)
			for _, body := range published["goods"] {
				if !slices.Contains(got, body) {
					t.Errorf("OnBody %v: shipping misses %s", onBody, body)
				}
			}
			if len(published["goods"]) < 5 {
				t.Errorf("%d messages: the test shows nothing", len(published["goods"]))
			}
			if _, err := srv.SQS().PurgeQueue(context.Background(), &sqs.PurgeQueueInput{QueueUrl: &shipping.URL}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func publishedAfterACut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.PolicySpread(time.Minute), sqstest.NoSignature())
		// It dies while it waits for the policies to spread.
		ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Second, errDied)
		defer cancel()
		if _, err := fanout.Apply(ctx, clientsOf(srv), rawShop(), fanout.Config{}); !errors.Is(err, errDied) {
			t.Fatalf("apply: %v, want it cut", err)
		}
		if n := srv.Calls("Subscribe"); n != 0 {
			t.Fatalf("%d subscriptions were made before the policies had spread", n)
		}
		topic := srv.Topic(t, "orders")
		begun := time.Now()
		publishWhile(t, topic, []string{"goods"}, func() { apply(t, srv, rawShop(), fanout.Config{}) })
		if lost := undelivered(topic); len(lost) > 0 {
			t.Errorf("%d deliveries were refused, the first: %s", len(lost), lost[0])
		}
		if took := time.Since(begun); took > 45*time.Second {
			t.Errorf("the second run took %v: it waits for what is left of the minute only", took)
		}
	})
}

// TestCallsAreMadeInOrder looks at the calls themselves: what a queue needs is there
// before SNS may send to it.
func TestCallsAreMadeInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Delay("CreateTopic", 10*time.Millisecond) // so that times tell the order
		srv.Delay("CreateQueue", 10*time.Millisecond)
		apply(t, srv, shop(), fanout.Config{})
		var order []string
		var subscribed, lastPolicy time.Time
		for _, c := range srv.Log() {
			if c.Action != "CreateTopic" && c.Action != "CreateQueue" && c.Action != "Subscribe" {
				continue
			}
			if c.Action == "Subscribe" && subscribed.IsZero() {
				subscribed = c.At
			}
			if c.Action == "CreateQueue" {
				lastPolicy = c.At
			}
			what := c.Action
			if c.Action == "CreateQueue" && (c.Queue == "billing" || c.Queue == "shipping" || c.Queue == "audit") {
				what += " with DLQ"
			}
			if len(order) == 0 || order[len(order)-1] != what {
				order = append(order, what)
			}
		}
		if diff := cmp.Diff([]string{"CreateTopic", "CreateQueue", "CreateQueue with DLQ", "Subscribe"}, order); diff != "" {
			t.Errorf("order of calls (-want +got):\n%s", diff)
		}
		if wait := subscribed.Sub(lastPolicy); wait < time.Minute || wait > 61*time.Second {
			t.Errorf("it subscribed %v after the last policy was set, want the minute that these may take", wait)
		}
	})
}

func TestEmulatorsAreNotWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		begun := time.Now()
		apply(t, srv, shop(), fanout.Config{PolicySpread: -1, CallsPerSecond: 1000})
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCallsDoNotThrottleThemselves(t *testing.T) {
	t.Parallel()
	t.Run("at the rate that is set", callsPerSecond)
	t.Run("and all wait where a service throttles", callsThrottled)
}

func wide(n int) fanout.Topology {
	topology := fanout.Topology{Region: sqstest.Region, Account: sqstest.Account, Topics: []fanout.Topic{{Name: "orders"}}}
	for i := range n {
		name := fmt.Sprintf("queue-%d", i)
		topology.Queues = append(topology.Queues, fanout.Queue{Name: name})
		topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: "orders", Queue: name, DLQ: fanout.Undelivered{Name: "undelivered"}})
	}
	return topology
}

func callsPerSecond(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Delay("", 100*time.Millisecond)
		apply(t, srv, wide(50), fanout.Config{PolicySpread: -1, CallsPerSecond: 30, Parallel: 20})
		for _, service := range []bool{false, true} { // SQS, SNS
			var at []time.Time
			most := 0
			for _, c := range srv.Log() {
				if (c.Topic != "" || c.Action == "ListSubscriptionsByTopic") == service {
					at = append(at, c.At)
				}
			}
			slices.SortFunc(at, time.Time.Compare)
			for i := range at {
				inSecond := 0
				for j := i; j < len(at) && at[j].Sub(at[i]) < time.Second; j++ {
					inSecond++
				}
				most = max(most, inSecond)
			}
			if most > 2*30+1 { // a burst of one second's worth, and that second's own
				t.Errorf("%d calls within a second, want at most 61", most)
			}
			if took := at[len(at)-1].Sub(at[0]); len(at) > 200 && took > time.Duration(len(at))*time.Second/25 {
				t.Errorf("%d calls took %v: they are not parallel", len(at), took)
			}
		}
	})
}

func callsThrottled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Fail("", sqstest.Throttle, sqstest.Probability(0.3, 7))
		apply(t, srv, wide(10), fanout.Config{PolicySpread: -1})
		if d := plan(t, srv, wide(10), fanout.Config{}); !d.Empty() {
			t.Errorf("after an apply that was throttled:\n%s", d)
		}
	})
}

func TestDeadLetterQueuesOfSubscriptionsLetSNSInBefore(t *testing.T) {
	t.Parallel()
	t.Run("they are subscribed", func(t *testing.T) {
		deadLettersFirst(t, "Subscribe", func(srv *sqstest.Server) {
			sub := subscriptionARN(t, srv)
			if _, err := srv.SNS().Unsubscribe(context.Background(), &sns.UnsubscribeInput{SubscriptionArn: &sub}); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("they are set on subscriptions that are there", func(t *testing.T) {
		deadLettersFirst(t, "SetSubscriptionAttributes", func(*sqstest.Server) {})
	})
}

// deadLettersFirst has a topology without a dead-letter queue for its subscription get one,
// when all other policies have long spread.
func deadLettersFirst(t *testing.T, action string, change func(srv *sqstest.Server)) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		before := small()
		before.Subscriptions[0].DLQ.Off = true
		apply(t, srv, before, fanout.Config{})
		change(srv)
		time.Sleep(time.Hour)
		srv.ResetLog()
		apply(t, srv, small(), fanout.Config{})
		var made, used time.Time
		for _, c := range srv.Log() {
			switch {
			case c.Action == "CreateQueue" && c.Queue == "billing-orders-undelivered":
				made = c.At
			case c.Action == action:
				used = c.At
			}
		}
		if wait := used.Sub(made); made.IsZero() || wait < time.Minute || wait > 61*time.Second {
			t.Errorf("%s came %v after the dead-letter queue was made, want the minute that its policy may take", action, wait)
		}
	})
}
