package fanout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// document is an IAM policy as it is printed.
type document struct {
	Version   string
	Statement []struct {
		Sid, Effect      string
		Action, Resource []string
		Condition        json.RawMessage `json:",omitempty"`
	}
}

func read(t *testing.T, text string) (d document) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

// leastFor shows that a policy is enough for what works does, and that without any
// one of its actions, or any one of its resources, that fails.
func leastFor(t *testing.T, policy func(srv *sqstest.Server) string, works func(t *testing.T, srv *sqstest.Server) error) {
	t.Helper()
	try := func(name string, change func(d *document), want bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			srv := sqstest.New(t, sqstest.NoSignature())
			d := read(t, policy(srv))
			change(&d)
			d.Statement = slices.DeleteFunc(d.Statement, func(s struct {
				Sid, Effect      string
				Action, Resource []string
				Condition        json.RawMessage `json:",omitempty"`
			}) bool {
				return len(s.Action) == 0 || len(s.Resource) == 0
			})
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			srv.Bind(t, "LEAST", string(text))
			if err := works(t, srv); (err == nil) != want {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	var whole document
	try("with all of it", func(d *document) { whole = *d }, true)
	for i, s := range whole.Statement {
		for j, action := range s.Action {
			try("without "+action+" of "+s.Sid, func(d *document) { d.Statement[i].Action = slices.Delete(d.Statement[i].Action, j, j+1) }, false)
		}
		for j, resource := range s.Resource {
			try("without "+resource+" in "+s.Sid, func(d *document) { d.Statement[i].Resource = slices.Delete(d.Statement[i].Resource, j, j+1) }, false)
		}
	}
}

func least(srv *sqstest.Server) fanout.Clients {
	return fanout.Clients{SQS: srv.SQS(sqstest.As("LEAST")), SNS: srv.SNS(sqstest.SNSAs("LEAST"))}
}

// pruning is a topology with a topic of others, and what is to be deleted.
func pruning(t *testing.T, srv *sqstest.Server) (fanout.Topology, fanout.Config) {
	t.Helper()
	topology := shop()
	topology.Queues, topology.Subscriptions = topology.Queues[:2], topology.Subscriptions[:2]
	theirs := srv.Topic(t, "theirs")
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: theirs.ARN, Queue: "billing"})
	old, q := srv.Topic(t, "old"), srv.Queue(t, "old")
	cfg := fanout.Config{PolicySpread: -1, Prune: []string{old.ARN, q.ARN, old.Subscribe(t, srv.Queue(t, "other")), srv.Queue(t, "other").ARN + "#sqstest-old"}}
	return topology, cfg
}

func TestPermissionsAreLeast(t *testing.T) {
	t.Parallel()
	t.Run("for planning", planPermissions)
	t.Run("for applying", applyPermissions)
	t.Run("for applying to what exists", existingPermissions)
	t.Run("for consuming", consumePermissions)
	t.Run("for producing to topics", producePermissions)
	t.Run("for producing to a queue", sendPermissions)
	t.Run("for verifying", verifyPermissions)
}

func planPermissions(t *testing.T) {
	t.Parallel()
	leastFor(t, func(srv *sqstest.Server) string {
		topology, cfg := pruning(t, srv)
		text, err := fanout.PlanPermissions(topology, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error {
		topology, cfg := pruning(t, srv)
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		_, err := fanout.Plan(t.Context(), least(srv), topology, cfg)
		return err
	})
}

func applyPermissions(t *testing.T) {
	t.Parallel()
	leastFor(t, func(srv *sqstest.Server) string {
		topology, cfg := pruning(t, srv)
		text, err := fanout.ApplyPermissions(topology, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error {
		topology, cfg := pruning(t, srv)
		if _, err := fanout.Apply(t.Context(), least(srv), topology, cfg); err != nil {
			return err
		}
		return changeAll(t, srv, topology)
	})
}

func existingPermissions(t *testing.T) {
	t.Parallel()
	leastFor(t, func(srv *sqstest.Server) string {
		apply(t, srv, shop(), fanout.Config{PolicySpread: -1})
		text, err := fanout.ApplyPermissions(shop(), fanout.Config{ExistingOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"Create", "Subscribe\"", "Delete", "Unsubscribe"} {
			if strings.Contains(text, action) {
				t.Errorf("%s is allowed, and nothing is created", action)
			}
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error { return changeAll(t, srv, shop()) })
}

// changeAll has others change every queue, topic and subscription, and applies.
func changeAll(t *testing.T, srv *sqstest.Server, topology fanout.Topology) error {
	t.Helper()
	ctx := t.Context()
	q, n := srv.SQS(), srv.SNS()
	var errs []error
	queues, err := q.ListQueues(ctx, &sqs.ListQueuesInput{})
	errs = append(errs, err)
	for _, url := range queues.QueueUrls {
		_, err := q.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": "77"}})
		_, tag := q.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{"holdfast": "theirs"}})
		errs = append(errs, err, tag)
	}
	topics, err := n.ListTopics(ctx, &sns.ListTopicsInput{})
	errs = append(errs, err)
	for _, topic := range topics.Topics {
		_, err := n.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{TopicArn: topic.TopicArn, AttributeName: aws.String("KmsMasterKeyId"), AttributeValue: aws.String("alias/theirs")})
		_, tag := n.TagResource(ctx, &sns.TagResourceInput{ResourceArn: topic.TopicArn, Tags: []snstypes.Tag{{Key: aws.String("holdfast"), Value: aws.String("theirs")}}})
		errs = append(errs, err, tag)
	}
	subs, err := n.ListSubscriptions(ctx, &sns.ListSubscriptionsInput{})
	errs = append(errs, err)
	for _, s := range subs.Subscriptions {
		_, err := n.SetSubscriptionAttributes(ctx, &sns.SetSubscriptionAttributesInput{SubscriptionArn: s.SubscriptionArn, AttributeName: aws.String("FilterPolicy"), AttributeValue: aws.String(`{"x":["y"]}`)})
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	_, err = fanout.Apply(ctx, least(srv), topology, fanout.Config{PolicySpread: -1})
	return err
}

// fed is a shop that lets in topics of another account, of its region and of another one.
func fed() fanout.Topology {
	topology := shop()
	topology.Subscriptions = append(topology.Subscriptions,
		fanout.Subscription{Topic: theirsARN, Queue: "billing", LetIn: true},
		fanout.Subscription{Topic: theirsFar, Queue: "billing", LetIn: true},
		fanout.Subscription{Topic: theirsARN + "-too", Queue: "shipping", LetIn: true})
	return topology
}

func consumePermissions(t *testing.T) {
	t.Parallel()
	leastFor(t, func(srv *sqstest.Server) string {
		apply(t, srv, fed(), fanout.Config{PolicySpread: -1})
		text, err := fanout.ConsumePermissions(fed(), "billing")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error {
		q := srv.Queue(t, "billing")
		theirs(t, srv, q)
		theirsFromAfar(t, srv)
		q.Send(t, "done")
		q.Send(t, "again")
		q.Send(t, "bad")
		handler := holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
			switch {
			case m.Body == "bad":
				return holdfast.Permanent(errors.New("bad"))
			case m.Body == "again" && m.Attempt == 1:
				return errors.New("again")
			}
			return nil
		})
		c, err := consumer.New(srv.SQS(sqstest.As("LEAST")), "billing", handler, consumer.Config{
			DeadLetterShare: -1, Middleware: []holdfast.Middleware{fanout.Confirm(srv.SNS(sqstest.SNSAs("LEAST")), theirsARN, theirsFar)},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		err = c.Run(ctx)
		dead, left := srv.Queue(t, "billing-dlq").Messages(), q.Messages()
		if err == nil && (len(dead) != 1 || len(left) != 0) {
			return fmt.Errorf("%d dead-lettered, %d left", len(dead), len(left))
		}
		// SQS itself moves a message that the consumer may not, after enough receives.
		if err == nil {
			if _, byUs := dead[0].Attributes[consumer.CauseAttribute]; !byUs {
				return errors.New("dead-lettered by SQS, not by the consumer")
			}
		}
		return err
	})
}

// producers is a topology with targets of every size that producers have to know of.
func producers() fanout.Topology {
	topology := rawShop()
	topology.Topics[0].MaxMessageSize = 1 << 20
	topology.Topics = append(topology.Topics, fanout.Topic{Name: "returns"}, fanout.Topic{Name: "ticks", MaxMessageSize: 1 << 10})
	topology.Queues = append(topology.Queues, fanout.Queue{Name: "jobs", MaxMessageSize: 100 << 10})
	return topology
}

// offload is claim check enough for a test.
type offload struct{}

func (offload) Offload(_ context.Context, m *holdfast.Message) error {
	m.Body = "elsewhere"
	return nil
}

// produce sends a message of so many bytes as package producer does with its defaults. One
// that the target does not take goes elsewhere, where the producer knows that.
func produce(t *testing.T, client any, target string, size int) error {
	t.Helper()
	p, err := producer.New(client, target, producer.Config{Offload: offload{}, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	return p.Send(t.Context(), producer.Message{Body: strings.Repeat("x", size)})
}

func producePermissions(t *testing.T) {
	t.Parallel()
	leastFor(t, func(srv *sqstest.Server) string {
		apply(t, srv, producers(), fanout.Config{PolicySpread: -1})
		text, err := fanout.ProducePermissions(producers())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}, func(t *testing.T, srv *sqstest.Server) error {
		err := errors.Join(
			produce(t, least(srv).SNS, ordersARN, 500_000),
			produce(t, least(srv).SNS, srv.Topic(t, "returns").ARN, 200_000),
			produce(t, least(srv).SNS, srv.Topic(t, "ticks").ARN, 2000))
		for _, m := range srv.Queue(t, "billing").Messages() {
			if len(m.Body) != 500_000 {
				err = errors.Join(err, fmt.Errorf("the producer thinks that orders does not take 500,000 bytes, and sends %d", len(m.Body)))
			}
		}
		return err
	})
}

func sendPermissions(t *testing.T) {
	t.Parallel()
	for queue, size := range map[string]int{"jobs": 200 << 10, "billing": 1 << 20} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			leastFor(t, func(srv *sqstest.Server) string {
				apply(t, srv, producers(), fanout.Config{PolicySpread: -1})
				text, err := fanout.SendPermissions(producers(), queue)
				if err != nil {
					t.Fatal(err)
				}
				return text
			}, func(t *testing.T, srv *sqstest.Server) error { return produce(t, least(srv).SQS, queue, size) })
		})
	}
}

// TestPermissionsForKeys looks at the text only: no server here has keys.
func TestPermissionsForKeys(t *testing.T) {
	t.Parallel()
	topology := shop()
	topology.Topics[0].KMSKey = "1234-5678"
	topology.Queues[0].KMSKey = "alias/queues"
	topology.Queues[1].KMSKey = "arn:aws:kms:us-east-1:111111111111:key/9876"
	for _, tt := range []struct {
		print func() (string, error)
		want  []string
	}{
		{func() (string, error) { return fanout.ProducePermissions(topology) },
			[]string{"arn:aws:kms:us-east-1:000000000000:key/1234-5678", `"kms:GenerateDataKey"`, "sns.us-east-1.amazonaws.com"}},
		{func() (string, error) { return fanout.ConsumePermissions(topology, "billing") },
			[]string{"arn:aws:kms:us-east-1:000000000000:key/*", `"kms:ResourceAliases"`, "alias/queues", "sqs.us-east-1.amazonaws.com"}},
		{func() (string, error) { return fanout.ConsumePermissions(topology, "shipping") },
			[]string{"arn:aws:kms:us-east-1:111111111111:key/9876", `"kms:Decrypt"`}},
		{func() (string, error) { return fanout.SendPermissions(topology, "shipping") },
			[]string{"arn:aws:kms:us-east-1:111111111111:key/9876", `"kms:GenerateDataKey"`, "sqs.us-east-1.amazonaws.com"}},
	} {
		text, err := tt.print()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s", text, want)
			}
		}
	}
	topology.Queues[0].KMSKey = "arn:aws:kms:us-east-1:111111111111:alias/queues"
	text, err := fanout.ConsumePermissions(topology, "billing")
	if d := read(t, text); err != nil || len(d.Statement) != 3 || d.Statement[2].Resource[0] != "arn:aws:kms:us-east-1:111111111111:key/*" {
		t.Errorf("an alias of another account: %v in %s", err, text)
	}
	if _, err := fanout.ConsumePermissions(topology, "none"); err == nil || err.Error() != `fanout: queue is "none"; it must be the name of a queue of the topology` {
		t.Errorf("%v", err)
	}
	if _, err := fanout.SendPermissions(topology, "none"); err == nil || err.Error() != `fanout: queue is "none"; it must be the name of a queue of the topology` {
		t.Errorf("%v", err)
	}
	topology.Account = ""
	if _, err := fanout.PlanPermissions(topology, fanout.Config{}); err == nil {
		t.Error("a topology that is not valid gets permissions")
	}
}

// TestPermissionsToVerifyForKeys has keys on a topic, on queues, and on what is not
// delivered, which is in another region.
func TestPermissionsToVerifyForKeys(t *testing.T) {
	t.Parallel()
	topology := shop()
	topology.Topics[0].KMSKey, topology.Queues[0].KMSKey, topology.Queues[1].KMSKey = "alias/topics", "1234", "alias/queues"
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: elsewhere, Queue: "audit", DLQ: fanout.Undelivered{KMSKey: "5678"}})
	text, err := fanout.VerifyPermissions(topology)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range read(t, text).Statement {
		if s.Condition != nil {
			var condition bytes.Buffer
			if err := json.Compact(&condition, s.Condition); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(s.Sid, s.Action, s.Resource, condition.String()))
		}
	}
	const use = "[kms:Decrypt kms:GenerateDataKey] "
	want := []string{
		"UseKeys" + use + `[arn:aws:kms:eu-west-1:000000000000:key/5678]{"StringEquals":{"kms:ViaService":["sqs.eu-west-1.amazonaws.com"]}}`,
		"UseKeys2" + use + `[arn:aws:kms:us-east-1:000000000000:key/1234]{"StringEquals":{"kms:ViaService":["sqs.us-east-1.amazonaws.com"]}}`,
		"UseKeysOfAliases" + use + `[arn:aws:kms:us-east-1:000000000000:key/*]{"ForAnyValue:StringEquals":{"kms:ResourceAliases":["alias/topics"]},"StringEquals":{"kms:ViaService":["sns.us-east-1.amazonaws.com"]}}`,
		"UseKeysOfAliases2" + use + `[arn:aws:kms:us-east-1:000000000000:key/*]{"ForAnyValue:StringEquals":{"kms:ResourceAliases":["alias/queues"]},"StringEquals":{"kms:ViaService":["sqs.us-east-1.amazonaws.com"]}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statements for keys (-want +got):\n%s", diff)
	}
}
