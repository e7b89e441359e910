package sqstest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/sqstest"
)

// onQueue is the bodies of what is on a queue.
func onQueue(q *sqstest.Queue) []string {
	var out []string
	for _, m := range q.Messages() {
		out = append(out, m.Body)
	}
	return out
}

func once(o *sns.Options) { o.RetryMaxAttempts = 1 }

func TestTopic(t *testing.T) {
	t.Parallel()
	t.Run("delivers envelopes, and what was published to raw subscriptions", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		wrapped, raw := srv.Queue(t, "wrapped"), srv.Queue(t, "raw")
		topic := srv.Topic(t, "events")
		topic.Subscribe(t, wrapped)
		topic.Subscribe(t, raw, sqstest.Raw())
		id := topic.Publish(t, "hello", sqstest.Subject("greeting"), sqstest.StringAttribute("kind", "a"), sqstest.BinaryAttribute("b", []byte{1}))
		var envelope struct{ Type, MessageId, TopicArn, Subject, Message string }
		if err := json.Unmarshal([]byte(wrapped.Messages()[0].Body), &envelope); err != nil {
			t.Fatal(err)
		}
		if envelope.Type != "Notification" || envelope.MessageId != id || envelope.TopicArn != topic.ARN || envelope.Subject != "greeting" || envelope.Message != "hello" {
			t.Errorf("envelope %+v", envelope)
		}
		m := raw.Messages()[0]
		want := map[string]sqstest.Attribute{"kind": {Type: "String", Text: "a"}, "b": {Type: "Binary", Binary: []byte{1}}}
		if diff := cmp.Diff(want, m.Attributes); m.Body != "hello" || diff != "" {
			t.Errorf("raw body %q (-want +got):\n%s", m.Body, diff)
		}
		got := topic.Published()
		if len(got) != 1 || got[0].MessageID != id || got[0].Subject != "greeting" || got[0].Attributes["kind"].Text != "a" {
			t.Errorf("published %+v", got)
		}
	})
	t.Run("tells what a filter policy did not find", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		byAttribute, byBody := srv.Queue(t, "attribute"), srv.Queue(t, "body")
		topic := srv.Topic(t, "events")
		topic.Subscribe(t, byAttribute, sqstest.Raw(), sqstest.Filter(`{"kind":["order"]}`))
		topic.Subscribe(t, byBody, sqstest.Raw(), sqstest.FilterBody(`{"total":[{"numeric":[">",10]}]}`))
		topic.Publish(t, `{"total":20}`, sqstest.StringAttribute("kind", "refund"))
		id := topic.Publish(t, `{"total":1}`, sqstest.StringAttribute("kind", "order"))
		if diff := cmp.Diff([]string{`{"total":1}`}, onQueue(byAttribute)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{`{"total":20}`}, onQueue(byBody)); diff != "" {
			t.Error(diff)
		}
		if why := topic.Why(id, byBody); !strings.HasPrefix(why, "filtered") || !strings.Contains(why, "total") {
			t.Errorf("why: %s", why)
		}
		if why := topic.Why(id, byAttribute); why != "delivered" {
			t.Errorf("why: %s", why)
		}
		var statuses []sqstest.Status
		for _, d := range topic.Deliveries() {
			statuses = append(statuses, d.Status)
		}
		if diff := cmp.Diff([]sqstest.Status{sqstest.Filtered, sqstest.Delivered, sqstest.Delivered, sqstest.Filtered}, statuses); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("does not reach a queue whose policy does not let it, and says so", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q, lost := srv.Queue(t, "q"), srv.Queue(t, "lost")
		topic := srv.Topic(t, "events")
		topic.Subscribe(t, q, sqstest.NoPermission(), sqstest.Undelivered(lost))
		id := topic.Publish(t, "x")
		d := topic.Deliveries()[0]
		if q.Depth().Visible != 0 || d.Status != sqstest.DeadLettered || d.MessageID != id || d.Queue != q.ARN || !strings.Contains(d.Why, "no access policy") {
			t.Errorf("%+v, delivery %+v", q.Depth(), d)
		}
		if lost.Depth().Visible != 1 {
			t.Error("the subscription's dead-letter queue is empty")
		}
		if dump := srv.Dump(); !strings.Contains(dump, "topic events: 1 subscriptions") || !strings.Contains(dump, "to q: dead-lettered") {
			t.Errorf("dump:\n%s", dump)
		}
	})
	t.Run("does not try again what a queue refuses", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "q", sqstest.QueueAttribute("MaximumMessageSize", "1024"))
		topic := srv.Topic(t, "events")
		topic.Subscribe(t, q, sqstest.Raw())
		topic.Publish(t, strings.Repeat("x", 2000))
		if d := topic.Deliveries()[0]; d.Status != sqstest.Lost || !strings.Contains(d.Why, "shorter than 1024") {
			t.Errorf("delivery %+v", d)
		}
	})
	t.Run("keeps the order of groups, and repeats nothing, from FIFO to FIFO", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "q.fifo")
		topic := srv.Topic(t, "events.fifo")
		topic.Subscribe(t, q, sqstest.Raw())
		topic.Publish(t, "1", sqstest.Group("g"))
		topic.Publish(t, "2", sqstest.Group("g"), sqstest.Dedup("d"))
		topic.Publish(t, "3", sqstest.Group("g"), sqstest.Dedup("d"))
		if diff := cmp.Diff([]string{"1", "2"}, onQueue(q)); diff != "" {
			t.Error(diff)
		}
		if got := topic.Published(); len(got) != 3 || !got[2].Repeat {
			t.Errorf("published %+v", got)
		}
	})
	t.Run("adds to a queue's policy, and keeps what is there", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "q", sqstest.QueueAttribute("Policy", `{"Statement":{"Sid":"mine","Effect":"Allow","Principal":"*","Action":"sqs:ReceiveMessage"}}`))
		for _, name := range []string{"a", "b", "a"} {
			topic := srv.Topic(t, name)
			topic.Subscribe(t, q)
			topic.Publish(t, "x")
		}
		if n := q.Depth().Visible; n != 3 {
			t.Errorf("%d arrived", n)
		}
		out, err := srv.SQS().GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{"Policy"}})
		if err != nil {
			t.Fatal(err)
		}
		if p := out.Attributes["Policy"]; strings.Count(p, "Sid") != 3 || !strings.Contains(p, "mine") {
			t.Errorf("policy %s", p)
		}
	})
	t.Run("forgets with the log", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t, sqstest.LogLimit(-1))
		topic := srv.Topic(t, "events")
		topic.Subscribe(t, srv.Queue(t, "q"))
		topic.Publish(t, "x")
		if len(srv.Log()) != 0 || topic.Deliveries() != nil || topic.Published() != nil || srv.Dump() == "" {
			t.Error("it remembers")
		}
	})
	t.Run("is served on a port, beside the queues", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		url := srv.Listen(t)
		topic, q := srv.Topic(t, "events"), srv.Queue(t, "q")
		topic.Subscribe(t, q, sqstest.Raw())
		if _, err := srv.SNS(sqstest.SNSAt(url)).Publish(t.Context(), &sns.PublishInput{TopicArn: &topic.ARN, Message: aws.String("x")}); err != nil {
			t.Fatal(err)
		}
		out, err := srv.SQS(sqstest.At(url)).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL})
		if err != nil || len(out.Messages) != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestFaultsOfSNS(t *testing.T) {
	t.Parallel()
	t.Run("fail calls, on a topic or on all", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		a, b := srv.Topic(t, "a"), srv.Topic(t, "b")
		publish := func(topic *sqstest.Topic) error {
			_, err := srv.SNS(once).Publish(t.Context(), &sns.PublishInput{TopicArn: &topic.ARN, Message: aws.String("x")})
			return err
		}
		fault := srv.Fail("Publish", sqstest.Throttle, sqstest.OnTopic("a"), sqstest.Times(1))
		if err := publish(b); err != nil {
			t.Error(err)
		}
		err := publish(a)
		wantCode(t, err, "Throttling")
		if fault.Hits() != 1 {
			t.Errorf("%d hits", fault.Hits())
		}
		denied := srv.Fail("", sqstest.AccessDenied, sqstest.OnTopic("b"))
		err = publish(b)
		wantError[*snstypes.AuthorizationErrorException](t, err)
		denied.Stop()
		if err := publish(b); err != nil {
			t.Error(err)
		}
		if srv.Calls("Publish") != 4 || len(srv.Log()) != 4 || srv.Log()[1].Topic != "a" || srv.Log()[1].Err == "" {
			t.Errorf("log %+v", srv.Log())
		}
		srv.ResetLog()
		if srv.Calls("") != 0 {
			t.Error("the log was not reset")
		}
	})
	t.Run("lose replies that are retried, and entries of a batch", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			srv := sqstest.New(t)
			topic, q := srv.Topic(t, "a"), srv.Queue(t, "q")
			topic.Subscribe(t, q)
			srv.DropReply("Publish", sqstest.Times(1))
			if _, err := srv.SNS().Publish(t.Context(), &sns.PublishInput{TopicArn: &topic.ARN, Message: aws.String("x")}); err != nil || q.Depth().Visible != 2 {
				t.Errorf("%v, %+v", err, q.Depth())
			}
			srv.FailEntries("PublishBatch", "InternalError", false, sqstest.Every(2))
			out, err := srv.SNS().PublishBatch(t.Context(), &sns.PublishBatchInput{TopicArn: &topic.ARN, PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{
				{Id: aws.String("1"), Message: aws.String("x")}, {Id: aws.String("2"), Message: aws.String("x")},
			}})
			if err != nil || len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Code != "InternalError" {
				t.Errorf("%+v, %v", out, err)
			}
		})
	})
	t.Run("make deliveries late, and have them tried again", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			srv := sqstest.New(t)
			topic, q, lost := srv.Topic(t, "a"), srv.Queue(t, "q"), srv.Queue(t, "lost")
			topic.Subscribe(t, q, sqstest.Undelivered(lost))
			srv.Fail(sqstest.Deliver, sqstest.ServiceUnavailable503, sqstest.OnQueue("q"), sqstest.Times(4))
			id := topic.Publish(t, "x")
			if !strings.HasPrefix(topic.Why(id, q), string(sqstest.Underway)) {
				t.Errorf("why: %s", topic.Why(id, q))
			}
			time.Sleep(3 * time.Second)
			if got := topic.Deliveries()[0]; q.Depth().Visible != 1 || got.Status != sqstest.Delivered || got.Tries != 5 {
				t.Errorf("%+v, %+v", q.Depth(), got)
			}
			srv.Fail(sqstest.Deliver, sqstest.AccessDenied, sqstest.OnTopic("a"), sqstest.OnQueue("q"), sqstest.Times(1))
			topic.Publish(t, "x")
			if lost.Depth().Visible != 1 {
				t.Errorf("a refused delivery: %+v", topic.Deliveries()[1])
			}
		})
	})
	t.Run("that make no sense fail the test", func(t *testing.T) {
		t.Parallel()
		for name, fault := range map[string]func(*sqstest.Server) *sqstest.Injected{
			"an action of neither service": func(s *sqstest.Server) *sqstest.Injected { return s.Cut("Frobnicate") },
			"an action of SQS on a topic":  func(s *sqstest.Server) *sqstest.Injected { return s.Cut("SendMessage", sqstest.OnTopic("a")) },
			"a duplicate on a topic":       func(s *sqstest.Server) *sqstest.Injected { return s.Duplicate("", sqstest.OnTopic("a")) },
			"a queue for a call of SNS":    func(s *sqstest.Server) *sqstest.Injected { return s.Cut("Publish", sqstest.OnQueue("q")) },
		} {
			rec := &recorder{TB: t}
			injected := fault(sqstest.New(rec))
			if len(rec.failures) != 1 {
				t.Errorf("%s is taken", name)
			}
			if injected.Stop(); injected.Hits() != 0 {
				t.Errorf("%s hits", name)
			}
		}
	})
	t.Run("of permissions reach topics", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		topic := srv.Topic(t, "a")
		srv.Authorize(func(action, arn string) error {
			if action == "Publish" && arn == topic.ARN {
				return errors.New("not today")
			}
			return nil
		})
		_, err := srv.SNS(once).PublishBatch(t.Context(), &sns.PublishBatchInput{TopicArn: &topic.ARN, PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{
			{Id: aws.String("1"), Message: aws.String("x")},
		}})
		wantError[*snstypes.AuthorizationErrorException](t, err)
	})
}

func TestBoundKeys(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	q := srv.Queue(t, "q")
	srv.Bind(t, "WORKER", `{"Statement":{"Effect":"Allow","Action":"sqs:ReceiveMessage","Resource":"`+q.ARN+`"}}`)
	worker := srv.SQS(sqstest.As("WORKER"))
	if _, err := worker.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL}); err != nil {
		t.Error(err)
	}
	_, err := worker.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL})
	wantCode(t, err, "AccessDenied")
	_, err = srv.SQS(sqstest.As("111122223333")).PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &q.URL})
	wantCode(t, err, "AccessDenied")

	topic := srv.Topic(t, "t")
	publish := func(optFns ...func(*sns.Options)) error {
		_, err := srv.SNS(optFns...).Publish(t.Context(), &sns.PublishInput{TopicArn: &topic.ARN, Message: aws.String("x")})
		return err
	}
	wantError[*snstypes.AuthorizationErrorException](t, publish(sqstest.SNSAs("WORKER")))
	if err := publish(); err != nil {
		t.Errorf("another key: %v", err)
	}
}
