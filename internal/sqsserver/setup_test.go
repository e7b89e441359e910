package sqsserver_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// bundle is a server and a client of its default account.
type bundle struct {
	*testing.T
	server *sqsserver.Server
	client *sqs.Client
}

func setup(t *testing.T) *bundle {
	t.Helper()
	s := sqsserver.New(sqsserver.Config{})
	return &bundle{T: t, server: s, client: clientOf(s, "AKIDTEST", "us-east-1")}
}

// clientOf is a real client without a network. An access key of twelve digits is
// the client's account.
func clientOf(s *sqsserver.Server, accessKey, region string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://sqs.test.invalid"),
		HTTPClient:   &http.Client{Transport: s.Transport()},
		Retryer:      aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "secret"}, nil
		}),
	})
}

// queue makes a queue with attributes in pairs and returns its URL and ARN.
func (b *bundle) queue(name string, attributes ...string) (url, arn string) {
	b.Helper()
	in := &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{}}
	if strings.HasSuffix(name, ".fifo") {
		in.Attributes["FifoQueue"] = "true"
	}
	for i := 0; i < len(attributes); i += 2 {
		in.Attributes[attributes[i]] = attributes[i+1]
	}
	out, err := b.client.CreateQueue(b.Context(), in)
	if err != nil {
		b.Fatal(err)
	}
	return *out.QueueUrl, b.attribute(*out.QueueUrl, "QueueArn")
}

func (b *bundle) attribute(url string, name types.QueueAttributeName) string {
	b.Helper()
	out, err := b.client.GetQueueAttributes(b.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{name}})
	if err != nil {
		b.Fatal(err)
	}
	return out.Attributes[string(name)]
}

// source makes a queue that dead-letters into the one of an ARN after one receive.
func (b *bundle) source(name, dlqARN string) (url, arn string) {
	b.Helper()
	return b.queue(name, "VisibilityTimeout", "0", "RedrivePolicy", `{"deadLetterTargetArn":"`+dlqARN+`","maxReceiveCount":1}`)
}

// deadLetter sends n messages to a queue of source and has it dead-letter them.
func (b *bundle) deadLetter(url string, n int) (ids []string) {
	b.Helper()
	for range n {
		out, err := b.client.SendMessage(b.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
		if err != nil {
			b.Fatal(err)
		}
		ids = append(ids, *out.MessageId)
	}
	for range n + 1 {
		if _, err := b.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10}); err != nil {
			b.Fatal(err)
		}
	}
	return ids
}

func (b *bundle) depth(arn string) int {
	b.Helper()
	v, ok := b.server.Queue(arn)
	if !ok {
		b.Fatalf("no queue %s", arn)
	}
	return v.Depth.Visible
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("error %v is of code %q, want %q", err, got, want)
	}
}
