package sqstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast/internal/snsserver"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// SNS returns a new SDK client for this server's SNS, as SQS does for its SQS.
func (s *Server) SNS(optFns ...func(*sns.Options)) *sns.Client {
	return sns.New(sns.Options{
		Region:       Region,
		BaseEndpoint: aws.String(strings.Replace(endpoint, "//sqs.", "//sns.", 1)),
		HTTPClient:   s.HTTPClient(),
		Credentials:  credentials("SQSTEST"),
	}, optFns...)
}

// SNSAt points a client that SNS makes at the URL of Listen, as At does for SQS.
func SNSAt(url string) func(*sns.Options) {
	return func(o *sns.Options) {
		o.BaseEndpoint = aws.String(url)
		o.HTTPClient = awshttp.NewBuildableClient()
	}
}

// SNSAs makes a client that SNS makes the client of another access key, as As does
// for SQS.
func SNSAs(accessKey string) func(*sns.Options) {
	return func(o *sns.Options) { o.Credentials = credentials(accessKey) }
}

// queues is SQS as SNS sees it.
type queues struct{ server *sqsserver.Server }

func (q queues) Policy(queueARN string) (string, bool) { return q.server.Policy(queueARN) }

func (q queues) Send(queueARN string, m snsserver.QueueMessage) error {
	out := sqsserver.Outgoing{Body: m.Body, Group: m.Group, Dedup: m.Dedup, TraceHeader: m.TraceHeader, Sender: m.Sender}
	if len(m.Attributes) > 0 {
		out.Attributes = make(map[string]sqsserver.Attribute, len(m.Attributes))
		for name, a := range m.Attributes {
			out.Attributes[name] = sqsserver.Attribute(a)
		}
	}
	_, err := q.server.Send(queueARN, out)
	var refused *sqsserver.Error
	if errors.As(err, &refused) && !refused.Receiver {
		return &snsserver.RefusedError{Code: refused.Code, Message: refused.Message}
	}
	return err
}

// Topic is a topic on a Server. It is safe for concurrent use.
type Topic struct {
	// Name and ARN are the two ways to call it.
	Name string
	ARN  string

	server    *Server
	fifo      bool
	published atomic.Int64
}

// TopicOption changes a topic that Server.Topic makes.
type TopicOption func(attributes map[string]string)

// TopicAttribute sets an attribute by its name in the SNS API, for example
// TopicAttribute("SignatureVersion", "2").
func TopicAttribute(name, value string) TopicOption {
	return func(attributes map[string]string) { attributes[name] = value }
}

// Topic makes a topic, or ends the test. One whose name ends in .fifo is a FIFO
// topic.
func (s *Server) Topic(tb testing.TB, name string, opts ...TopicOption) *Topic {
	tb.Helper()
	attributes := make(map[string]string)
	for _, opt := range opts {
		opt(attributes)
	}
	arn, err := s.sns.Create(name, attributes)
	if err != nil {
		tb.Fatalf("sqstest: create topic %s: %v", name, err)
	}
	return &Topic{Name: name, ARN: arn, server: s, fifo: strings.HasSuffix(name, ".fifo")}
}

type subscribeConfig struct {
	attributes map[string]string
	forbidden  bool
	dlq        *Queue
}

// SubscribeOption changes a subscription that Topic.Subscribe makes.
type SubscribeOption func(*subscribeConfig)

// Raw delivers what was published as it is, without SNS's JSON envelope.
func Raw() SubscribeOption { return SubscriptionAttribute("RawMessageDelivery", "true") }

// Filter lets only messages through whose attributes fit the filter policy.
func Filter(policy string) SubscribeOption { return SubscriptionAttribute("FilterPolicy", policy) }

// FilterBody lets only messages through whose JSON body fits the filter policy.
func FilterBody(policy string) SubscribeOption {
	return func(c *subscribeConfig) {
		c.attributes["FilterPolicy"], c.attributes["FilterPolicyScope"] = policy, "MessageBody"
	}
}

// Undelivered gives the subscription a dead-letter queue for what its queue
// refuses.
func Undelivered(dlq *Queue) SubscribeOption { return func(c *subscribeConfig) { c.dlq = dlq } }

// SubscriptionAttribute sets an attribute by its name in the SNS API.
func SubscriptionAttribute(name, value string) SubscribeOption {
	return func(c *subscribeConfig) { c.attributes[name] = value }
}

// NoPermission leaves the queue's access policy as it is. Without a policy that
// lets SNS send, nothing arrives: the classic mistake.
func NoPermission() SubscribeOption { return func(c *subscribeConfig) { c.forbidden = true } }

// Subscribe has a topic's messages delivered to a queue, or ends the test, and
// returns the subscription's ARN. The queue's access policy, and that of
// Undelivered's, gets a statement that allows it. It is a call of Subscribe:
// faults strike it and the log shows it.
func (t *Topic) Subscribe(tb testing.TB, q *Queue, opts ...SubscribeOption) (subscriptionARN string) {
	tb.Helper()
	c := subscribeConfig{attributes: make(map[string]string)}
	for _, opt := range opts {
		opt(&c)
	}
	if c.dlq != nil {
		t.permit(tb, c.dlq)
		policy, err := json.Marshal(map[string]string{"deadLetterTargetArn": c.dlq.ARN})
		if err != nil {
			tb.Fatalf("sqstest: redrive policy of %s: %v", t.Name, err)
		}
		c.attributes["RedrivePolicy"] = string(policy)
	}
	if !c.forbidden {
		t.permit(tb, q)
	}
	out, err := t.server.SNS().Subscribe(context.Background(), &sns.SubscribeInput{
		TopicArn: &t.ARN, Protocol: aws.String("sqs"), Endpoint: &q.ARN, Attributes: c.attributes,
		ReturnSubscriptionArn: true,
	})
	if err != nil {
		tb.Fatalf("sqstest: subscribe %s to %s: %v", q.Name, t.Name, err)
	}
	return *out.SubscriptionArn
}

func (t *Topic) permit(tb testing.TB, q *Queue) {
	tb.Helper()
	err := t.server.inner.Permit(q.ARN, "sqstest-"+t.Name, map[string]any{
		"Effect":    "Allow",
		"Principal": map[string]any{"Service": "sns.amazonaws.com"},
		"Action":    "sqs:SendMessage",
		"Resource":  q.ARN,
		"Condition": map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": t.ARN}},
	})
	if err != nil {
		tb.Fatalf("sqstest: policy of %s: %v", q.Name, err)
	}
}

// Subject sets the subject of a message that is published.
func Subject(text string) SendOption { return func(o *outgoing) { o.subject = text } }

// Publish publishes to the topic, or ends the test, and returns the message's
// id. It goes around HTTP: no fault on Publish strikes it and the log does not show
// it. When it returns, the message is in the queues, or Why tells why not.
func (t *Topic) Publish(tb testing.TB, body string, opts ...SendOption) (id string) {
	tb.Helper()
	out := outgoing{Outgoing: sqsserver.Outgoing{Body: body}}
	for _, opt := range opts {
		opt(&out)
	}
	if out.Delay != 0 || out.TraceHeader != "" {
		tb.Fatalf("sqstest: publish to %s: SendDelay and TraceHeader are for queues", t.Name)
	}
	if t.fifo && out.Dedup == "" {
		out.Dedup = fmt.Sprintf("sqstest-%d", t.published.Add(1))
	}
	m := snsserver.Message{Body: out.Body, Subject: out.subject, Group: out.Group, Dedup: out.Dedup}
	if len(out.Attributes) > 0 {
		m.Attributes = make(map[string]snsserver.Attribute, len(out.Attributes))
		for name, a := range out.Attributes {
			m.Attributes[name] = snsserver.Attribute(a)
		}
	}
	id, err := t.server.sns.Publish(t.ARN, m)
	if err != nil {
		tb.Fatalf("sqstest: publish to %s: %v", t.Name, err)
	}
	return id
}
