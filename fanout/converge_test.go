package fanout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
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
// not, its reply is lost, and none after it gets through. at is 0 for a process that
// lives.
type cutClients struct {
	inner  http.RoundTripper
	at     int
	effect bool // of the call it dies at

	mu    sync.Mutex // guards reads
	reads []bool     // of the calls made, whether they change nothing
}

var errDied = errors.New("the process died")

func (c *cutClients) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	c.reads = append(c.reads, reads(actionOf(r.Header.Get("X-Amz-Target"), string(body))))
	n := len(c.reads)
	c.mu.Unlock()
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

// reads tells whether a call changes nothing.
func reads(action string) bool {
	return strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "List")
}

// actionOf is what a call is: of SQS by its target, of SNS by its form.
func actionOf(target, form string) string {
	_, action, ofSQS := strings.Cut(target, ".")
	if values, err := url.ParseQuery(form); err == nil && !ofSQS {
		action = values.Get("Action")
	}
	return action
}

func (c *cutClients) clients(srv *sqstest.Server) fanout.Clients {
	c.inner = srv.HTTPClient().Transport
	client := &http.Client{Transport: c}
	return fanout.Clients{
		SQS: srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts, o.HTTPClient = 1, client }),
		SNS: srv.SNS(func(o *sns.Options) { o.RetryMaxAttempts, o.HTTPClient = 1, client }),
	}
}

// elsewheres are the topics that a random topology may subscribe to and does not make: in
// another region, and of another account.
var elsewheres = []string{ordersIn(otherRegion), theirsARN, theirsFar}

const otherRegion = "eu-west-1"

// makeElsewheres makes them. Their owners let us subscribe.
func makeElsewheres(t *testing.T, srv *sqstest.Server) {
	t.Helper()
	for _, topic := range elsewheres {
		owner := ownerOf(srv, topic)
		_, err := owner.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(topic[strings.LastIndexByte(topic, ':')+1:])})
		if err == nil {
			_, err = owner.AddPermission(t.Context(), &sns.AddPermissionInput{
				TopicArn: &topic, Label: aws.String("x"), AWSAccountId: []string{sqstest.Account}, ActionName: []string{"Subscribe"},
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ownerOf is a client of a topic's owner, in its region.
func ownerOf(srv *sqstest.Server, topic string) *sns.Client {
	parts := strings.Split(topic, ":")
	in := func(o *sns.Options) { o.Region = parts[3] }
	if parts[4] == sqstest.Account {
		return srv.SNS(in)
	}
	return srv.SNS(sqstest.SNSAs(parts[4]), in)
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
	for i := range 1 + r.IntN(2) {
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
	// queue0 is there always, and a standard one.
	for _, topic := range elsewheres {
		s := fanout.Subscription{Topic: topic, Queue: "queue0"}
		switch r.IntN(4) {
		case 0:
			continue
		case 1:
			s.DLQ.Off = true
		case 2:
			s.LetIn = !strings.Contains(topic, ":"+sqstest.Account+":")
		}
		t.Subscriptions = append(t.Subscriptions, s)
	}
	return t
}

// foreign is what others wrote, and what must be there in the end.
type foreign struct {
	policies map[place]string // statement by queue
	tagged   []place          // queues
	subs     []string         // ARNs
}

// place is where a queue is. URLs have the region in them on AWS, and not here.
type place struct{ region, url string }

// drift lets others change what is there. It changes nothing that does not exist.
func drift(t *testing.T, r *rand.Rand, srv *sqstest.Server, topology fanout.Topology) foreign {
	t.Helper()
	ctx := context.Background()
	f := foreign{policies: map[place]string{}}
	for _, region := range []string{sqstest.Region, otherRegion} {
		f.driftQueues(t, r, srv, region)
	}
	f.driftTopics(t, r, srv)
	if r.IntN(2) == 0 && len(topology.Queues) > 0 { // a queue is gone
		q, name := srv.SQS(), topology.Queues[r.IntN(len(topology.Queues))].Name
		if out, err := q.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name}); err == nil {
			if _, err := q.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl}); err != nil {
				t.Fatal(err)
			}
			gone := place{sqstest.Region, *out.QueueUrl}
			delete(f.policies, gone)
			f.tagged = slices.DeleteFunc(f.tagged, func(p place) bool { return p == gone })
		}
	}
	return f
}

func (f *foreign) driftQueues(t *testing.T, r *rand.Rand, srv *sqstest.Server, region string) {
	t.Helper()
	ctx, q := context.Background(), sqsIn(srv, region)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	listed, err := q.ListQueues(ctx, &sqs.ListQueuesInput{})
	must(err)
	slices.Sort(listed.QueueUrls) // the same drift each time
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
			f.policies[place{region, url}] = statement
		case 4:
			_, err := q.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"of-others": "x", "team": "other"}})
			must(err)
			f.tagged = append(f.tagged, place{region, url})
		}
	}
}

func (f *foreign) driftTopics(t *testing.T, r *rand.Rand, srv *sqstest.Server) {
	t.Helper()
	ctx, other := context.Background(), srv.Queue(t, "of-others")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	topics := slices.Clone(elsewheres)
	listed, err := srv.SNS().ListTopics(ctx, &sns.ListTopicsInput{})
	must(err)
	for _, topic := range listed.Topics {
		topics = append(topics, *topic.TopicArn)
	}
	for _, topic := range slices.Compact(slices.Sorted(slices.Values(topics))) {
		owner, ours := ownerOf(srv, topic), snsIn(srv, strings.Split(topic, ":")[3])
		subs, err := owner.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
		must(err)
		slices.SortFunc(subs.Subscriptions, func(a, b snstypes.Subscription) int { return strings.Compare(*a.Endpoint, *b.Endpoint) })
		for _, s := range subs.Subscriptions {
			set := func(name, value string) {
				_, err := ours.SetSubscriptionAttributes(ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: s.SubscriptionArn, AttributeName: &name, AttributeValue: &value})
				must(err)
			}
			switch r.IntN(6) {
			case 0:
				_, err := ours.Unsubscribe(ctx, &sns.UnsubscribeInput{SubscriptionArn: s.SubscriptionArn})
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
		if r.IntN(2) == 0 && !strings.HasSuffix(topic, ".fifo") {
			out, err := ours.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &other.ARN})
			must(err)
			f.subs = append(f.subs, *out.SubscriptionArn)
		}
		if r.IntN(2) == 0 {
			_, err := owner.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: aws.String("DisplayName"), AttributeValue: aws.String("theirs")})
			must(err)
			_, err = owner.TagResource(ctx, &sns.TagResourceInput{ResourceArn: &topic, Tags: []snstypes.Tag{{Key: aws.String("team"), Value: aws.String("other")}}})
			must(err)
		}
	}
}

// prune chooses what a run with the topology then, after the topology before, deletes: some
// of what nobody declares any more, and of what belongs to others.
func (f *foreign) prune(t *testing.T, r *rand.Rand, srv *sqstest.Server, before, then fanout.Topology) (entries []string) {
	t.Helper()
	declared := declaredBy(t, then)
	for _, arn := range declaredBy(t, before) {
		if slices.Contains(declared, arn) || r.IntN(3) == 0 {
			continue
		}
		entries = append(entries, arn)
		f.subs = slices.DeleteFunc(f.subs, func(sub string) bool { return strings.HasPrefix(sub, arn+":") })
		f.tagged = slices.DeleteFunc(f.tagged, func(p place) bool { return p.of(arn) })
		maps.DeleteFunc(f.policies, func(p place, _ string) bool { return p.of(arn) })
	}
	left := plan(t, srv, then, fanout.Config{}).Changes
	slices.SortStableFunc(left, func(a, b fanout.Change) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range left {
		if c.Kind != fanout.Foreign || !strings.HasPrefix(c.Resource, "s") || r.IntN(4) == 0 { // statements, subscriptions
			continue
		}
		entries = append(entries, c.ARN)
		queue, sid, _ := strings.Cut(c.ARN, "#")
		f.subs = slices.DeleteFunc(f.subs, func(sub string) bool { return sub == c.ARN })
		maps.DeleteFunc(f.policies, func(p place, statement string) bool {
			return p.of(queue) && strings.Contains(statement, strconv.Quote(sid))
		})
	}
	return entries
}

// declaredBy is the queues and topics that a topology makes.
func declaredBy(t *testing.T, topology fanout.Topology) (arns []string) {
	t.Helper()
	for _, c := range plan(t, sqstest.New(t), topology, fanout.Config{}).Changes {
		if c.Kind == fanout.Create && (c.Resource == "queue" || c.Resource == "topic") {
			arns = append(arns, c.ARN)
		}
	}
	return arns
}

// of tells whether the ARN is that of the queue in this place.
func (p place) of(arn string) bool {
	return strings.HasPrefix(arn, "arn:aws:sqs:"+p.region+":") && strings.HasSuffix(p.url, "/"+arn[strings.LastIndexByte(arn, ':')+1:])
}

// intact fails the test where something of others is not as they left it.
func (f *foreign) intact(t *testing.T, srv *sqstest.Server) {
	t.Helper()
	ctx := context.Background()
	for at, statement := range f.policies {
		out, err := sqsIn(srv, at.region).GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &at.url, AttributeNames: []sqstypes.QueueAttributeName{"Policy"}})
		if err != nil || !strings.Contains(out.Attributes["Policy"], statement) {
			t.Errorf("%s: the policy is %s, %v; it lacks the statement of others %s", at, out.Attributes["Policy"], err, statement)
		}
	}
	for _, at := range f.tagged {
		out, err := sqsIn(srv, at.region).ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &at.url})
		if err != nil || out.Tags["of-others"] != "x" {
			t.Errorf("%s: tags %v, %v; the tag of others is gone", at, out.Tags, err)
		}
	}
	for _, arn := range f.subs {
		if _, err := snsIn(srv, strings.Split(arn, ":")[3]).GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn}); err != nil {
			t.Errorf("the subscription of others %s: %v", arn, err)
		}
	}
}

// TestApplyConvergesWhereverItIsCut applies a random topology over the remains of
// another, after others have changed what they liked, dies at each call in turn, with
// and without the effect of that call where it has one, and applies again: then a plan
// has nothing to do, and what belongs to others is as it was. Topics of another region
// and of another account are among what is subscribed to, and some runs prune what the
// first topology left and what others made. HOLDFAST_HISTORIES says how many topologies
// there are, HOLDFAST_SEED which is the first.
func TestApplyConvergesWhereverItIsCut(t *testing.T) {
	t.Parallel()
	first := setting(t, "HOLDFAST_SEED", 1)
	for seed := first; seed < first+setting(t, "HOLDFAST_HISTORIES", 4); seed++ {
		t.Run(fmt.Sprint("topology ", seed), func(t *testing.T) {
			t.Parallel()
			// Where the process lives it tells how many calls there are to die at.
			reads := convergence(t, seed, 0, false)
			if len(reads) < 10 {
				t.Fatalf("%d calls: too few to show anything", len(reads))
			}
			for i := range reads {
				// To die at one of several reads in a row leaves what the first of them left.
				if reads[i] && i > 0 && reads[i-1] {
					continue
				}
				// Calls side by side come in another order each time.
				made := convergence(t, seed, i+1, true)
				if i < len(made) && !made[i] {
					convergence(t, seed, i+1, false)
				}
			}
		})
	}
}

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// convergence tells of each call that was made whether it only reads.
func convergence(t *testing.T, seed uint64, at int, effect bool) (reads []bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		r := rand.New(rand.NewPCG(seed, 5))
		srv := sqstest.New(t, sqstest.NoCooldown(), sqstest.NoSignature())
		makeElsewheres(t, srv)
		first, second := randomTopology(r), randomTopology(r)
		apply(t, srv, first, fanout.Config{})
		others := drift(t, r, srv, first)
		cfg := fanout.Config{PruneMessages: true}
		if r.IntN(4) > 0 {
			cfg.Prune = others.prune(t, r, srv, first, second)
		}

		process := &cutClients{at: at, effect: effect}
		_, err := fanout.Apply(ctx, process.clients(srv), second, cfg)
		reads = process.reads
		if at == 0 && err != nil {
			t.Fatalf("apply: %v", err)
		}
		if at > 0 {
			if at <= len(reads) && !errors.Is(err, errDied) {
				t.Errorf("it died at call %d of %d, and apply says %v", at, len(reads), err)
			}
			apply(t, srv, second, cfg)
		}
		if d := plan(t, srv, second, cfg); !d.Empty() {
			t.Errorf("seed %d, cut at call %d (effect %v): the plan after is\n%s", seed, at, effect, d)
		}
		others.intact(t, srv)
	})
	return reads
}
