package snsserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

const (
	account = snsserver.DefaultAccount
	region  = snsserver.DefaultRegion
)

// queues is the least that can stand in for SQS.
type queues struct {
	mu       sync.Mutex
	policies map[string]string // by ARN; a queue without an entry does not exist
	sent     map[string][]snsserver.QueueMessage
	tries    int
	fail     func(queueARN string) error
}

func newQueues() *queues {
	return &queues{policies: map[string]string{}, sent: map[string][]snsserver.QueueMessage{}}
}

func (q *queues) Policy(queueARN string) (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	document, ok := q.policies[queueARN]
	return document, ok
}

func (q *queues) Send(queueARN string, m snsserver.QueueMessage) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tries++
	if q.fail != nil {
		if err := q.fail(queueARN); err != nil {
			return err
		}
	}
	q.sent[queueARN] = append(q.sent[queueARN], m)
	return nil
}

// allow gives a queue an access policy.
func (q *queues) allow(queueARN, document string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.policies[queueARN] = document
}

// failWith has messages refused with what fail returns, until it is nil.
func (q *queues) failWith(fail func(queueARN string) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = fail
}

// tried is how often a message was sent, to whichever queue.
func (q *queues) tried() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tries
}

// got is what a queue was sent.
func (q *queues) got(queueARN string) []snsserver.QueueMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.sent[queueARN])
}

// bodies is what a queue was sent.
func (q *queues) bodies(queueARN string) []string {
	var out []string
	for _, m := range q.got(queueARN) {
		out = append(out, m.Body)
	}
	return out
}

// bundle is a server with its queues and a client.
type bundle struct {
	*testing.T
	server *snsserver.Server
	queues *queues
	client *sns.Client
	ctx    context.Context
}

func setup(t *testing.T) *bundle { return setupWith(t, snsserver.Config{}) }

func setupWith(t *testing.T, cfg snsserver.Config) *bundle {
	t.Helper()
	q := newQueues()
	s := snsserver.New(cfg, q)
	return &bundle{T: t, server: s, queues: q, client: clientOf(s, "AKIDTEST"), ctx: t.Context()}
}

// clientOf is a real client of the server, without a network. An access key of
// twelve digits is the client's account.
func clientOf(s *snsserver.Server, accessKey string) *sns.Client {
	return sns.New(sns.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://sns.test.invalid"),
		HTTPClient:   &http.Client{Transport: s.Transport()},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "secret"}, nil
		}),
	})
}

// topic makes a topic; attributes are pairs.
func (b *bundle) topic(name string, attributes ...string) string {
	b.Helper()
	in := &sns.CreateTopicInput{Name: &name, Attributes: pairs(attributes)}
	if strings.HasSuffix(name, ".fifo") {
		in.Attributes["FifoTopic"] = "true"
	}
	return aws.ToString(must(b.client.CreateTopic(b.ctx, in))(b).TopicArn)
}

// queue makes a queue that everyone may send to.
func (b *bundle) queue(name string) string {
	arn := queueARN(name)
	b.queues.allow(arn, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}}`)
	return arn
}

func queueARN(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// subscribe subscribes a queue; attributes are pairs.
func (b *bundle) subscribe(topic, queue string, attributes ...string) string {
	b.Helper()
	return aws.ToString(must(b.client.Subscribe(b.ctx, &sns.SubscribeInput{
		TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queue, Attributes: pairs(attributes),
	}))(b).SubscriptionArn)
}

func (b *bundle) publish(topic, body string, change ...func(*sns.PublishInput)) string {
	b.Helper()
	in := &sns.PublishInput{TopicArn: &topic, Message: &body}
	for _, c := range change {
		c(in)
	}
	return aws.ToString(must(b.client.Publish(b.ctx, in))(b).MessageId)
}

func pairs(all []string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(all); i += 2 {
		m[all[i]] = all[i+1]
	}
	return m
}

// must ends the test at an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// told is the code and the text of an error of the service.
func told(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return fmt.Sprint(err)
}
