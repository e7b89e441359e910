package fanout_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// across is how two regions are wired: the topic has a topology in its region, the
// queue one in its own, which subscribes it to the topic's ARN.
func across(topicIn, queueIn string) (topics, queues fanout.Topology) {
	topics = fanout.Topology{Region: topicIn, Account: sqstest.Account, Topics: []fanout.Topic{{Name: "orders"}}}
	queues = fanout.Topology{
		Region: queueIn, Account: sqstest.Account, Queues: []fanout.Queue{{Name: "billing"}},
		Subscriptions: []fanout.Subscription{{Topic: ordersIn(topicIn), Queue: "billing"}},
	}
	return topics, queues
}

func ordersIn(region string) string { return strings.Replace(ordersARN, sqstest.Region, region, 1) }

// sqsIn and snsIn are clients of another region.
func sqsIn(srv *sqstest.Server, region string) *sqs.Client {
	return srv.SQS(func(o *sqs.Options) { o.Region = region })
}

func snsIn(srv *sqstest.Server, region string) *sns.Client {
	return srv.SNS(func(o *sns.Options) { o.Region = region })
}

func publishIn(t *testing.T, srv *sqstest.Server, region, body string) {
	t.Helper()
	if _, err := snsIn(srv, region).Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(ordersIn(region)), Message: &body}); err != nil {
		t.Fatal(err)
	}
}

// queuesIn lists the queues of a region, each with how many messages it has.
func queuesIn(t *testing.T, srv *sqstest.Server, region string) (out []string) {
	t.Helper()
	c := sqsIn(srv, region)
	listed, err := c.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range listed.QueueUrls {
		got, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, url[strings.LastIndexByte(url, '/')+1:]+" "+got.Attributes["ApproximateNumberOfMessages"])
	}
	slices.Sort(out)
	return out
}

// setIn sets an attribute of a queue and returns its URL.
func setIn(t *testing.T, srv *sqstest.Server, region, queue, name, value string) (url string) {
	t.Helper()
	c := sqsIn(srv, region)
	got, err := c.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	if err == nil {
		_, err = c.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: got.QueueUrl, Attributes: map[string]string{name: value}})
	}
	if err != nil {
		t.Fatalf("%s in %s: %v", queue, region, err)
	}
	return *got.QueueUrl
}

func TestRegions(t *testing.T) {
	t.Parallel()
	t.Run("a queue gets the messages of a topic of another region", regionDelivers)
	t.Run("what SNS cannot deliver to another region is kept in the topic's", regionUndelivered)
	t.Run("topics of one name in two regions have a dead-letter queue in each", regionFanIn)
	t.Run("queues of one name in two regions have a dead-letter queue each where their topic is", regionFanOut)
	t.Run("SNS is let in by the name it has where a region is opt-in", regionOptIn)
	t.Run("two accounts in two regions declare their ends of a subscription, and it is confirmed", regionAccounts)
	t.Run("paths between regions are verified", regionVerify)
	t.Run("what is there is pruned in its region", regionPrune)
	t.Run("permissions for two regions are least", regionPermissions)
}

func regionDelivers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topics, queues := across("us-east-1", "eu-west-1")
		apply(t, srv, topics, fanout.Config{PolicySpread: -1})
		// The clients are of us-east-1: calls are made where things are.
		d := apply(t, srv, queues, fanout.Config{PolicySpread: -1})
		want := []string{"create queue billing-dlq", "create queue billing-eu-west-1-orders-undelivered", "create queue billing", "create subscription orders -> billing"}
		var got []string
		for _, c := range d.Changes {
			got = append(got, string(c.Kind)+" "+c.Resource+" "+c.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
		for region, want := range map[string][]string{"us-east-1": {"billing-eu-west-1-orders-undelivered 0"}, "eu-west-1": {"billing 0", "billing-dlq 0"}} {
			if diff := cmp.Diff(want, queuesIn(t, srv, region)); diff != "" {
				t.Errorf("queues in %s (-want +got):\n%s", region, diff)
			}
		}
		if d := plan(t, srv, queues, fanout.Config{}); len(d.Changes) > 0 {
			t.Errorf("the second plan:\n%s", d)
		}
		// To the topic's topology the subscription is that of others.
		if d := plan(t, srv, topics, fanout.Config{}); !d.Empty() || len(d.Changes) != 1 || !strings.Contains(d.String(), "foreign subscription orders -> arn:aws:sqs:eu-west-1:") {
			t.Errorf("the plan of the topic's topology:\n%s", d)
		}
		publishIn(t, srv, "us-east-1", "work")
		if seen := consumeBy(t, sqsIn(srv, "eu-west-1")); !slices.Equal(seen, []string{"work of " + ordersARN}) {
			t.Errorf("a handler saw %q", seen)
		}
	})
}

// consumeBy runs a consumer of billing for a minute, and tells what its handler saw.
func consumeBy(t *testing.T, client *sqs.Client, mw ...holdfast.Middleware) (seen []string) {
	t.Helper()
	got := make(chan string, 100)
	c, err := consumer.New(client, "billing", holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		got <- m.Body + " of " + m.Topic.ARN
		return nil
	}), consumer.Config{Middleware: mw})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
	close(got)
	for body := range got {
		seen = append(seen, body)
	}
	return seen
}

func regionUndelivered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topics, queues := across("us-east-1", "eu-west-1")
		apply(t, srv, topics, fanout.Config{PolicySpread: -1})
		apply(t, srv, queues, fanout.Config{PolicySpread: -1})
		setIn(t, srv, "eu-west-1", "billing", "Policy", "")
		publishIn(t, srv, "us-east-1", "lost")
		if diff := cmp.Diff([]string{"billing-eu-west-1-orders-undelivered 1"}, queuesIn(t, srv, "us-east-1")); diff != "" {
			t.Errorf("queues (-want +got):\n%s", diff)
		}
		// And it is mended where it is.
		d := apply(t, srv, queues, fanout.Config{PolicySpread: -1})
		if len(d.Changes) != 1 || !strings.Contains(d.String(), "create  statement billing#HoldfastFromorders") {
			t.Errorf("mended:\n%s", d)
		}
		publishIn(t, srv, "us-east-1", "work")
		if diff := cmp.Diff([]string{"billing 1", "billing-dlq 0"}, queuesIn(t, srv, "eu-west-1")); diff != "" {
			t.Errorf("queues (-want +got):\n%s", diff)
		}
	})
}

func regionFanIn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topics, queues := across("us-east-1", "eu-west-1")
		other, _ := across("eu-west-1", "eu-west-1")
		third, _ := across("us-west-2", "eu-west-1")
		for _, topology := range []fanout.Topology{topics, other, third} {
			apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		}
		queues.Subscriptions = append(queues.Subscriptions,
			fanout.Subscription{Topic: ordersIn("eu-west-1"), Queue: "billing"}, fanout.Subscription{Topic: ordersIn("us-west-2"), Queue: "billing"})
		apply(t, srv, queues, fanout.Config{PolicySpread: -1})
		for region, lost := range map[string]string{"us-east-1": "billing-eu-west-1-orders-undelivered 0", "eu-west-1": "billing-orders-undelivered 0", "us-west-2": "billing-eu-west-1-orders-undelivered 0"} {
			if got := queuesIn(t, srv, region); !slices.Contains(got, lost) {
				t.Errorf("queues in %s: %q, want %s", region, got, lost)
			}
			publishIn(t, srv, region, region)
		}
		if got := queuesIn(t, srv, "eu-west-1"); !slices.Contains(got, "billing 3") {
			t.Errorf("queues: %q, want three messages on billing", got)
		}
		if d := plan(t, srv, queues, fanout.Config{}); len(d.Changes) > 0 {
			t.Errorf("the second plan:\n%s", d)
		}
	})
}

// regionFanOut has two topologies that both make a dead-letter queue in the region of the
// topic: each must be left alone by the other, applied in turn or pruned.
func regionFanOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topics, east := across("us-east-1", "eu-west-1")
		_, west := across("us-east-1", "us-west-2")
		west.Subscriptions[0].DLQ.Retention = 24 * time.Hour
		// The topic's own topology has a third, to a queue of another account.
		topics.Subscriptions = []fanout.Subscription{{Topic: "orders", Queue: "arn:aws:sqs:eu-west-1:" + otherAccount + ":billing"}}
		for _, topology := range []fanout.Topology{topics, east, west} {
			apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		}
		for _, topology := range []fanout.Topology{east, west} {
			if d := plan(t, srv, topology, fanout.Config{}); len(d.Changes) > 0 {
				t.Errorf("the second plan in %s:\n%s", topology.Region, d)
			}
		}
		if d := plan(t, srv, topics, fanout.Config{}); !d.Empty() {
			t.Errorf("the second plan of the topic's topology:\n%s", d)
		}
		setIn(t, srv, "us-west-2", "billing", "Policy", "")
		publishIn(t, srv, "us-east-1", "lost in the west")
		// That queue is not there yet, and missed SNS's question whether it shall be subscribed.
		lost := []string{"billing-eu-west-1-" + otherAccount + "-orders-undelivered 1", "billing-eu-west-1-orders-undelivered 0", "billing-us-west-2-orders-undelivered 1"}
		if diff := cmp.Diff(lost, queuesIn(t, srv, "us-east-1")); diff != "" {
			t.Errorf("queues (-want +got):\n%s", diff)
		}
		prune := fanout.Config{PolicySpread: -1, Prune: []string{billingARN + "-eu-west-1-orders-undelivered"}}
		apply(t, srv, fanout.Topology{Region: "eu-west-1", Account: sqstest.Account}, prune)
		if got := queuesIn(t, srv, "us-east-1"); !slices.Contains(got, "billing-us-west-2-orders-undelivered 1") {
			t.Errorf("queues after one of two is pruned: %q", got)
		}
	})
}

func regionOptIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ topicIn, queueIn, service string }{
		{"us-east-1", "eu-west-1", `"sns.amazonaws.com"`},
		{"ap-east-1", "us-east-1", `["sns.amazonaws.com","sns.ap-east-1.amazonaws.com"]`},
		{"us-east-1", "eu-south-1", `["sns.amazonaws.com","sns.eu-south-1.amazonaws.com"]`},
		{"ap-east-1", "eu-south-1", `["sns.amazonaws.com","sns.ap-east-1.amazonaws.com","sns.eu-south-1.amazonaws.com"]`},
		{"ap-east-1", "ap-east-1", `"sns.amazonaws.com"`},
	} {
		t.Run(c.topicIn+" to "+c.queueIn, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t, sqstest.NoSignature())
				topics, queues := across(c.topicIn, c.queueIn)
				apply(t, srv, topics, fanout.Config{PolicySpread: -1})
				apply(t, srv, queues, fanout.Config{PolicySpread: -1})
				publishIn(t, srv, c.topicIn, "work")
				if got := queuesIn(t, srv, c.queueIn); !slices.Contains(got, "billing 1") {
					t.Errorf("queues in %s: %q, want a message on billing", c.queueIn, got)
				}
				if d := plan(t, srv, queues, fanout.Config{}); len(d.Changes) > 0 {
					t.Errorf("the second plan:\n%s", d)
				}
				queues.Subscriptions[0].DLQ.Off = true
				text, err := fanout.CloudFormation(queues)
				if text = strings.Join(strings.Fields(text), ""); err != nil || !strings.Contains(text, `"Principal":{"Service":`+c.service+`}`) {
					t.Errorf("%v, the template lacks %s:\n%s", err, c.service, text)
				}
			})
		})
	}
}

func regionAccounts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		ours := fanout.Topology{
			Region: "us-east-1", Account: sqstest.Account, Topics: []fanout.Topic{{Name: "orders"}},
			Subscriptions: []fanout.Subscription{{Topic: "orders", Queue: "arn:aws:sqs:eu-west-1:" + otherAccount + ":billing"}},
		}
		theirs := fanout.Topology{
			Region: "eu-west-1", Account: otherAccount, Queues: []fanout.Queue{{Name: "billing"}},
			Subscriptions: []fanout.Subscription{{Topic: ordersARN, Queue: "billing", LetIn: true}},
		}
		their := fanout.Clients{SQS: srv.SQS(sqstest.As(otherAccount)), SNS: srv.SNS(sqstest.SNSAs(otherAccount))}
		if _, err := fanout.Apply(t.Context(), their, theirs, fanout.Config{PolicySpread: -1}); err != nil {
			t.Fatal(err)
		}
		apply(t, srv, ours, fanout.Config{PolicySpread: -1})
		if d := plan(t, srv, ours, fanout.Config{}); len(d.Changes) != 1 || d.Changes[0].Kind != fanout.Waiting {
			t.Errorf("the plan before the confirmation:\n%s", d)
		}
		confirm := fanout.Confirm(their.SNS.(*sns.Client), ordersARN)
		inTheirs := func(o *sqs.Options) { sqstest.As(otherAccount)(o); o.Region = "eu-west-1" }
		if seen := consumeBy(t, srv.SQS(inTheirs), confirm); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		if d := plan(t, srv, ours, fanout.Config{}); len(d.Changes) > 0 {
			t.Errorf("the plan after the confirmation:\n%s", d)
		}
		publishIn(t, srv, "us-east-1", "work")
		if seen := consumeBy(t, srv.SQS(inTheirs), confirm); !slices.Equal(seen, []string{"work of " + ordersARN}) {
			t.Errorf("a handler saw %q", seen)
		}
	})
}

func regionVerify(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topics, queues := across("us-east-1", "eu-west-1")
		apply(t, srv, topics, fanout.Config{PolicySpread: -1})
		apply(t, srv, queues, fanout.Config{PolicySpread: -1})
		if r := verify(t, srv, queues, fanout.VerifyConfig{Foreign: true}); !r.OK() {
			t.Errorf("report:\n%s", r)
		}
		setIn(t, srv, "eu-west-1", "billing", "Policy", "")
		// SNS keeps what it could not deliver in the topic's region: the probe is met there.
		r := verify(t, srv, queues, fanout.VerifyConfig{Foreign: true})
		if p := r.Paths[0]; p.Cause != fanout.CausePolicy || !strings.Contains(p.Why, "put it on the subscription's dead-letter queue") {
			t.Errorf("report:\n%s", r)
		}
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			for _, q := range queuesIn(t, srv, region) {
				if !strings.HasSuffix(q, " 0") {
					t.Errorf("left in %s: %s", region, q)
				}
			}
		}
	})
}

func regionPrune(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topics, queues := across("us-east-1", "eu-west-1")
		apply(t, srv, topics, fanout.Config{PolicySpread: -1})
		apply(t, srv, queues, fanout.Config{PolicySpread: -1})
		far := strings.Replace(billingARN, "us-east-1", "eu-west-1", 1)
		cfg := fanout.Config{PolicySpread: -1, Prune: []string{ordersARN, far, far + "-dlq", billingARN + "-eu-west-1-orders-undelivered"}}
		// From a third region.
		if d := apply(t, srv, fanout.Topology{Region: "sa-east-1", Account: sqstest.Account}, cfg); len(d.Changes) != 4 {
			t.Errorf("pruned:\n%s", d)
		}
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			if got := queuesIn(t, srv, region); len(got) > 0 {
				t.Errorf("queues left in %s: %q", region, got)
			}
		}
		left, err := srv.SNS().ListTopics(t.Context(), &sns.ListTopicsInput{})
		if err != nil || len(left.Topics) > 0 {
			t.Errorf("%d topics left, %v", len(left.Topics), err)
		}
	})
}

func regionPermissions(t *testing.T) {
	t.Parallel()
	topics, queues := across("us-east-1", "eu-west-1")
	leastFor(t, func(srv *sqstest.Server) string {
		apply(t, srv, topics, fanout.Config{PolicySpread: -1})
		text, err := fanout.ApplyPermissions(queues, fanout.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error {
		if _, err := fanout.Apply(t.Context(), least(srv), queues, fanout.Config{PolicySpread: -1}); err != nil {
			return err
		}
		// Others change all of it.
		for _, at := range []struct{ region, queue string }{{"eu-west-1", "billing"}, {"eu-west-1", "billing-dlq"}, {"us-east-1", "billing-eu-west-1-orders-undelivered"}} {
			url := setIn(t, srv, at.region, at.queue, "VisibilityTimeout", "77")
			if _, err := sqsIn(srv, at.region).TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"holdfast": "theirs"}}); err != nil {
				t.Fatal(err)
			}
		}
		subs, err := srv.SNS().ListSubscriptions(t.Context(), &sns.ListSubscriptionsInput{})
		if err != nil || len(subs.Subscriptions) != 1 {
			t.Fatalf("%v, %d subscriptions", err, len(subs.Subscriptions))
		}
		if _, err := srv.SNS().SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{
			SubscriptionArn: subs.Subscriptions[0].SubscriptionArn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true"),
		}); err != nil {
			t.Fatal(err)
		}
		_, err = fanout.Apply(t.Context(), least(srv), queues, fanout.Config{PolicySpread: -1})
		return err
	})
}
