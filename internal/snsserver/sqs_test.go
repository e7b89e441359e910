package snsserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
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

	"github.com/holdfast-go/holdfast/internal/snsserver"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// bridge puts the SQS of this module behind Queues.
type bridge struct {
	server *sqsserver.Server
	client *sqs.Client
}

func (b *bridge) Policy(queueARN string) (string, bool) {
	if _, ok := b.server.Queue(queueARN); !ok {
		return "", false
	}
	name := queueARN[strings.LastIndex(queueARN, ":")+1:]
	out, err := b.client.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: &name, AttributeNames: []types.QueueAttributeName{"Policy"},
	})
	if err != nil {
		return "", false
	}
	return out.Attributes["Policy"], true
}

func (b *bridge) Send(queueARN string, m snsserver.QueueMessage) error {
	out := sqsserver.Outgoing{Body: m.Body, Group: m.Group, Dedup: m.Dedup, TraceHeader: m.TraceHeader, Sender: m.Sender}
	if m.Attributes != nil {
		out.Attributes = make(map[string]sqsserver.Attribute, len(m.Attributes))
		for name, a := range m.Attributes {
			out.Attributes[name] = sqsserver.Attribute(a)
		}
	}
	_, err := b.server.Send(queueARN, out)
	var refused *sqsserver.Error
	if errors.As(err, &refused) && !refused.Receiver {
		return &snsserver.RefusedError{Code: refused.Code, Message: refused.Message}
	}
	return err
}

// both is SQS and SNS with a client each.
type both struct {
	*bundle
	sqs *sqs.Client
}

func setupBoth(t *testing.T) *both {
	t.Helper()
	q := &bridge{server: sqsserver.New(sqsserver.Config{})}
	q.client = sqs.New(sqs.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://sqs.test.invalid"),
		HTTPClient:   &http.Client{Transport: q.server.Transport()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDTEST", SecretAccessKey: "secret"}, nil
		}),
	})
	s := snsserver.New(snsserver.Config{NoSignature: true}, q)
	return &both{&bundle{T: t, server: s, client: clientOf(s, "AKIDTEST"), ctx: t.Context()}, q.client}
}

// queue makes a queue that takes messages of a topic, and returns its URL and ARN.
func (b *both) queue(name, topic string) (url, arn string) {
	b.Helper()
	arn = queueARN(name)
	all := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		all["FifoQueue"] = "true"
	}
	if topic != "" {
		all["Policy"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"` +
			arn + `","Condition":{"ArnEquals":{"aws:SourceArn":"` + topic + `"}}}]}`
	}
	return *must(b.sqs.CreateQueue(b.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: all}))(b).QueueUrl, arn
}

func (b *both) receive(url string) []types.Message {
	b.Helper()
	return must(b.sqs.ReceiveMessage(b.ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}))(b).Messages
}

func TestWithSQS(t *testing.T) {
	t.Parallel()
	run := func(name string, test func(*both)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { test(setupBoth(t)) })
		})
	}

	run("a message comes raw to one queue, in an envelope to another and not to the third", func(b *both) {
		topic := b.topic("orders")
		raw, rawARN := b.queue("raw", topic)
		wrapped, wrappedARN := b.queue("wrapped", topic)
		closed, closedARN := b.queue("closed", "")
		b.subscribe(topic, rawARN, "RawMessageDelivery", "true")
		b.subscribe(topic, wrappedARN)
		b.subscribe(topic, closedARN)
		id := b.publish(topic, "hello", func(in *sns.PublishInput) {
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{
				"list": {DataType: aws.String("String.Array"), StringValue: aws.String(`["a"]`)},
				"blob": {DataType: aws.String("Binary"), BinaryValue: []byte{7}},
			}
			in.MessageGroupId = aws.String("tenant")
		})
		m := b.receive(raw)[0]
		if *m.Body != "hello" || *m.MessageAttributes["list"].DataType != "String.Array" || !cmp.Equal(m.MessageAttributes["blob"].BinaryValue, []byte{7}) {
			b.Errorf("raw: %s %+v", *m.Body, m.MessageAttributes)
		}
		if m.Attributes["MessageGroupId"] != "tenant" || m.Attributes["SenderId"] != "AIDAIT2UOQQY3AUEKVGXU" {
			b.Errorf("raw: %v", m.Attributes)
		}
		m = b.receive(wrapped)[0]
		var e struct{ Message, MessageID string }
		if err := json.Unmarshal([]byte(strings.ReplaceAll(*m.Body, "MessageId", "MessageID")), &e); err != nil || e.Message != "hello" || e.MessageID != id || len(m.MessageAttributes) != 0 {
			b.Errorf("wrapped: %s %+v: %v", *m.Body, m.MessageAttributes, err)
		}
		if n := len(b.receive(closed)); n != 0 || !strings.HasPrefix(b.server.Why(id, closedARN), "lost: AccessDenied: the queue has no access policy") {
			b.Errorf("closed: %d messages: %s", n, b.server.Why(id, closedARN))
		}
	})

	run("a FIFO queue gets a group in order", func(b *both) {
		topic := b.topic("orders.fifo", "ContentBasedDeduplication", "true")
		url, arn := b.queue("billing.fifo", topic)
		b.subscribe(topic, arn, "RawMessageDelivery", "true")
		b.inject(snsserver.Rule{Action: snsserver.Deliver, Times: 4, Cut: true})
		for _, body := range []string{"1", "2", "2", "3"} {
			b.publish(topic, body, func(in *sns.PublishInput) { in.MessageGroupId = aws.String("g") })
		}
		time.Sleep(time.Minute)
		var got []string
		for _, m := range b.receive(url) {
			got = append(got, *m.Body+m.Attributes["MessageGroupId"])
		}
		if diff := cmp.Diff([]string{"1g", "2g", "3g"}, got); diff != "" {
			b.Errorf("messages (-want +got):\n%s", diff)
		}
	})

	run("1 MiB fits raw, and in an envelope neither into the queue nor into the dead-letter queue", func(b *both) {
		topic := b.topic("orders", "MaximumMessageSize", "1048576")
		wrapped, wrappedARN := b.queue("wrapped", topic)
		raw, rawARN := b.queue("raw", topic)
		_, deadARN := b.queue("dead", topic)
		b.subscribe(topic, wrappedARN, "RedrivePolicy", `{"deadLetterTargetArn":"`+deadARN+`"}`)
		b.subscribe(topic, rawARN, "RawMessageDelivery", "true")
		id := b.publish(topic, strings.Repeat("x", 1<<20))
		if len(b.receive(wrapped)) != 0 || len(b.receive(raw)) != 1 {
			b.Error("the envelope came, or the raw message did not")
		}
		if got := b.server.Why(id, wrappedARN); !strings.HasPrefix(got, "lost: InvalidParameterValue") {
			b.Errorf("Why: %.200s", got) // it does not fit into the dead-letter queue either
		}
	})

	run("a queue that was deleted is a client-side error", func(b *both) {
		topic := b.topic("orders")
		url, arn := b.queue("billing", topic)
		b.subscribe(topic, arn)
		must(b.sqs.DeleteQueue(b.ctx, &sqs.DeleteQueueInput{QueueUrl: &url}))(b)
		id := b.publish(topic, "x")
		if got := b.server.Why(id, arn); !strings.HasPrefix(got, "lost: AWS.SimpleQueueService.NonExistentQueue") {
			b.Errorf("Why: %s", got)
		}
	})

	run("X-Ray's header goes along", func(b *both) {
		topic := b.topic("orders")
		url, arn := b.queue("billing", topic)
		b.subscribe(topic, arn)
		r := must(http.NewRequest(http.MethodPost, "http://sns.test.invalid", strings.NewReader("Action=Publish&Message=x&TopicArn="+topic)))(b)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-Amzn-Trace-Id", "Root=1-abc")
		must((&http.Client{Transport: b.server.Transport()}).Do(r))(b)
		if got := b.receive(url)[0].Attributes["AWSTraceHeader"]; got != "Root=1-abc" {
			b.Errorf("trace header %q", got)
		}
	})
}
