package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// cutClients are clients whose process dies at a call: that call has its effect or
// not, its reply is lost, and none after it gets through. after is 0 for a process
// that lives.
type cutClients struct {
	inner  http.RoundTripper
	calls  atomic.Int64
	at     int64
	effect bool // of the call it dies at
}

var errDied = errors.New("the process died")

func (c *cutClients) RoundTrip(r *http.Request) (*http.Response, error) {
	n := c.calls.Add(1)
	switch {
	case c.at == 0 || n < c.at:
		return c.inner.RoundTrip(r)
	case n == c.at && c.effect:
		if _, err := c.inner.RoundTrip(r); err != nil {
			return nil, err
		}
	}
	return nil, errDied
}

func (c *cutClients) clients(srv *sqstest.Server) fanout.Clients {
	c.inner = srv.HTTPClient().Transport
	client := &http.Client{Transport: c}
	return fanout.Clients{
		SQS: srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts, o.HTTPClient = 1, client }),
		SNS: srv.SNS(func(o *sns.Options) { o.RetryMaxAttempts, o.HTTPClient = 1, client }),
	}
}

// randomTopology makes a topology that is valid.
func randomTopology(r *rand.Rand) fanout.Topology {
	t := fanout.Topology{Name: "random", Region: sqstest.Region, Account: sqstest.Account, Tags: map[string]string{"team": fmt.Sprint(r.IntN(3))}}
	suffix := func(fifo bool) string {
		if fifo {
			return ".fifo"
		}
		return ""
	}
	for i := range 1 + r.IntN(2) {
		fifo := i == 1
		topic := fanout.Topic{Name: fmt.Sprintf("topic%d%s", i, suffix(fifo)), ContentBasedDeduplication: fifo && r.IntN(2) == 0}
		if r.IntN(3) == 0 {
			topic.KMSKey = "alias/topics"
		}
		if r.IntN(3) == 0 {
			topic.Attributes = map[string]string{"DisplayName": fmt.Sprint("Topic ", r.IntN(5))}
		}
		t.Topics = append(t.Topics, topic)
	}
	for i := range 1 + r.IntN(3) {
		fifo := len(t.Topics) == 2 && i == 1
		q := fanout.Queue{Name: fmt.Sprintf("queue%d%s", i, suffix(fifo)), HighThroughput: fifo && r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			q.Visibility = time.Duration(1+r.IntN(100)) * time.Second
			q.Retention = time.Duration(60+r.IntN(10000)) * time.Second
		}
		if r.IntN(3) == 0 {
			q.KMSKey = "alias/queues"
		}
		switch r.IntN(5) {
		case 0:
			q.DLQ.Off = true
		case 1:
			q.DLQ.MaxReceives = 1 + r.IntN(20)
		case 2:
			q.DLQ.Name = "shared-dlq" + suffix(fifo)
			q.KMSKey = ""
		}
		t.Queues = append(t.Queues, q)
	}
	for _, topic := range t.Topics {
		for _, q := range t.Queues {
			if strings.HasSuffix(q.Name, ".fifo") && !strings.HasSuffix(topic.Name, ".fifo") || r.IntN(5) == 0 {
				continue
			}
			s := fanout.Subscription{Topic: topic.Name, Queue: q.Name, Raw: r.IntN(2) == 0}
			switch r.IntN(4) {
			case 0:
				s.Filter = fanout.Where("kind", fanout.Is("a", fmt.Sprint(r.IntN(5))))
			case 1:
				s.Filter, s.OnBody = fanout.Where("kind", fanout.AtLeast(float64(r.IntN(5)))), true
			}
			s.DLQ.Off = r.IntN(5) == 0
			t.Subscriptions = append(t.Subscriptions, s)
		}
	}
	return t
}

// foreign is what others wrote, and what must be there in the end.
type foreign struct {
	policies map[string]string // statement by queue
	tagged   []string          // queues
	subs     []string          // ARNs
}

// drift lets others change what is there. It changes nothing that does not exist.
func drift(t *testing.T, r *rand.Rand, srv *sqstest.Server, topology fanout.Topology) foreign {
	t.Helper()
	ctx := context.Background()
	f := foreign{policies: map[string]string{}}
	q, n := srv.SQS(), srv.SNS()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	listed, err := q.ListQueues(ctx, &sqs.ListQueuesInput{})
	must(err)
	for i, url := range listed.QueueUrls {
		set := func(name, value string) {
			_, err := q.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{name: value}})
			must(err)
		}
		switch r.IntN(6) {
		case 0:
			set("VisibilityTimeout", "77")
		case 1:
			set("Policy", "")
		case 2, 3:
			// Spaces and the order of members are its author's.
			statement := fmt.Sprintf(`{ "Action" : ["sqs:SendMessage"],  "Effect":"Allow", "Principal":{"AWS":"%012d"}, "Resource":"*" , "Sid":"of others %d" }`, i+1, i)
			old, err := q.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"Policy"}})
			must(err)
			policy := old.Attributes["Policy"]
			if head, ok := strings.CutSuffix(policy, "]}"); ok && r.IntN(2) == 0 {
				policy = head + ",\n" + statement + "]}"
			} else {
				policy = `{"Statement": ` + statement + `, "Id" : "theirs", "Version":"2012-10-17"}`
			}
			set("Policy", policy)
			f.policies[url] = statement
		case 4:
			_, err := q.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"of-others": "x", "team": "other"}})
			must(err)
			f.tagged = append(f.tagged, url)
		}
	}
	topics, err := n.ListTopics(ctx, &sns.ListTopicsInput{})
	must(err)
	other := srv.Queue(t, "of-others")
	for _, topic := range topics.Topics {
		subs, err := n.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: topic.TopicArn})
		must(err)
		for _, s := range subs.Subscriptions {
			set := func(name, value string) {
				_, err := n.SetSubscriptionAttributes(ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: s.SubscriptionArn, AttributeName: &name, AttributeValue: &value})
				must(err)
			}
			switch r.IntN(6) {
			case 0:
				_, err := n.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: s.SubscriptionArn})
				must(err)
			case 1:
				set("FilterPolicy", `{"other": ["x"]}`)
			case 2:
				set("FilterPolicy", "{}")
				set("FilterPolicyScope", "MessageBody")
			case 3:
				set("RedrivePolicy", "{}")
				set("RawMessageDelivery", "true")
			}
		}
		if r.IntN(2) == 0 && !strings.HasSuffix(*topic.TopicArn, ".fifo") {
			out, err := n.Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: &other.ARN})
			must(err)
			f.subs = append(f.subs, *out.SubscriptionArn)
		}
		if r.IntN(2) == 0 {
			_, err := n.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: topic.TopicArn, AttributeName: aws.String("DisplayName"), AttributeValue: aws.String("theirs")})
			must(err)
			_, err = n.TagResource(ctx, &sns.TagResourceInput{ResourceArn: topic.TopicArn, Tags: []snstypes.Tag{{Key: aws.String("team"), Value: aws.String("other")}}})
			must(err)
		}
	}
	if r.IntN(2) == 0 && len(topology.Queues) > 0 { // a queue is gone
		name := topology.Queues[r.IntN(len(topology.Queues))].Name
		if out, err := q.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name}); err == nil {
			_, err := q.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
			must(err)
			delete(f.policies, *out.QueueUrl)
			f.tagged = slices.DeleteFunc(f.tagged, func(url string) bool { return url == *out.QueueUrl })
		}
	}
	return f
}

// intact fails the test where something of others is not as they left it.
func (f *foreign) intact(t *testing.T, srv *sqstest.Server) {
	t.Helper()
	ctx := context.Background()
	for url, statement := range f.policies {
		out, err := srv.SQS().GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{"Policy"}})
		if err != nil || !strings.Contains(out.Attributes["Policy"], statement) {
			t.Errorf("%s: the policy is %s, %v; it lacks the statement of others %s", url, out.Attributes["Policy"], err, statement)
		}
	}
	for _, url := range f.tagged {
		out, err := srv.SQS().ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})
		if err != nil || out.Tags["of-others"] != "x" {
			t.Errorf("%s: tags %v, %v; the tag of others is gone", url, out.Tags, err)
		}
	}
	for _, arn := range f.subs {
		if _, err := srv.SNS().GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn}); err != nil {
			t.Errorf("the subscription of others %s: %v", arn, err)
		}
	}
}

// TestApplyConvergesWhereverItIsCut applies a random topology over the remains of
// another, after others have changed what they liked, dies at each call in turn, with
// and without the effect of that call, and applies again: then a plan has nothing to
// do, and what belongs to others is as it was.
func TestApplyConvergesWhereverItIsCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("topology ", seed), func(t *testing.T) {
			t.Parallel()
			// Where the process lives it tells how many calls there are to die at.
			calls := convergence(t, seed, 0, false)
			if calls < 10 {
				t.Fatalf("%d calls: too few to show anything", calls)
			}
			for at := int64(1); at <= calls; at++ {
				convergence(t, seed, at, (uint64(at)+seed)%2 == 0)
			}
		})
	}
}

func convergence(t *testing.T, seed uint64, at int64, effect bool) (calls int64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := rand.New(rand.NewPCG(seed, 1))
		srv := sqstest.New(t, sqstest.NoCooldown(), sqstest.NoSignature())
		first, second := randomTopology(r), randomTopology(r)
		apply(t, srv, first, fanout.Config{})
		others := drift(t, r, srv, first)

		process := &cutClients{at: at, effect: effect}
		_, err := fanout.Apply(ctx, process.clients(srv), second, fanout.Config{})
		calls = process.calls.Load()
		if at == 0 && err != nil {
			t.Fatalf("apply: %v", err)
		}
		if at > 0 {
			if at <= calls && !errors.Is(err, errDied) {
				t.Errorf("it died at call %d of %d, and apply says %v", at, calls, err)
			}
			apply(t, srv, second, fanout.Config{})
		}
		if d := plan(t, srv, second, fanout.Config{}); !d.Empty() {
			t.Errorf("seed %d, cut at call %d (effect %v): the plan after is\n%s", seed, at, effect, d)
		}
		others.intact(t, srv)
	})
	return calls
}
