package conformance

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/integration"
)

// Case is one thing that AWS documents.
type Case struct {
	// Name is a sentence, after the operation or subject and a slash. It is unique.
	Name string
	// Doc is where AWS says so: an operation of the API reference, or a page of the
	// developer guide.
	Doc string
	Run func(c *Check)
}

// Check runs one case and gathers what does not hold. It is for one goroutine.
type Check struct {
	Clients

	tb       testing.TB // for its context
	problems []string
	cleanup  []func()
}

func (c *Check) ctx() context.Context { return c.tb.Context() }

// gaveUp is the panic that ends a case early.
type gaveUp struct{}

// errorf notes what does not hold; the case goes on.
func (c *Check) errorf(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// fatalf notes what does not hold and ends the case.
func (c *Check) fatalf(format string, args ...any) {
	c.errorf(format, args...)
	panic(gaveUp{})
}

// run returns the problems of one case.
func (c *Check) run(body func(*Check)) []string {
	defer func() {
		for i := len(c.cleanup) - 1; i >= 0; i-- {
			c.cleanup[i]()
		}
	}()
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, ours := p.(gaveUp); !ours {
					panic(p)
				}
			}
		}()
		body(c)
	}()
	return c.problems
}

// ok ends the case if a call failed.
func (c *Check) ok(err error) {
	if err != nil {
		c.fatalf("%s", describe(err))
	}
}

// refused wants a call to fail with an error of the given kind: the Go type of an error
// that the service's model has, else the error's code. "" takes any refusal, for errors
// that AWS does not name.
func (c *Check) refused(err error, want string) {
	switch got := kind(err); {
	case err == nil && want == "":
		c.errorf("accepted, want a refusal")
	case err == nil:
		c.errorf("accepted, want %s", want)
	case got == "":
		c.fatalf("%v", err)
	case want != "" && got != want:
		c.errorf("refused with %s, want %s", describe(err), want)
	case serverFault(err):
		c.errorf("%s is said to be the server's fault", describe(err))
	}
}

// kind names a refusal by the service; "" is another error.
func kind(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	if _, unmodelled := api.(*smithy.GenericAPIError); unmodelled {
		return strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
	}
	return reflect.TypeOf(api).Elem().Name()
}

func serverFault(err error) bool {
	var resp interface{ HTTPStatusCode() int }
	return errors.As(err, &resp) && resp.HTTPStatusCode() >= 500
}

func describe(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Sprintf("%s (%s)", kind(err), api.ErrorMessage())
	}
	return err.Error()
}

// equal compares.
func (c *Check) equal(what string, got, want any) {
	if diff := cmp.Diff(want, got); diff != "" {
		c.errorf("%s (-want +got):\n%s", what, diff)
	}
}

// pairs makes a map of names and values.
func pairs(kv []string) map[string]string {
	m := make(map[string]string, len(kv)/2)
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

// create makes a queue of a new name, with attributes given as names and values.
func (c *Check) create(name string, attributes ...string) (url string, err error) {
	made, err := c.SQS.CreateQueue(c.ctx(), &sqs.CreateQueueInput{QueueName: &name, Attributes: pairs(attributes)})
	if err != nil {
		return "", err
	}
	c.cleanup = append(c.cleanup, func() {
		// The queue may be gone: some cases delete it.
		_, _ = c.SQS.DeleteQueue(c.ctx(), &sqs.DeleteQueueInput{QueueUrl: made.QueueUrl})
	})
	return *made.QueueUrl, nil
}

// queue makes a standard queue or ends the case.
func (c *Check) queue(attributes ...string) (url string) {
	url, err := c.create(integration.Unique("conformance"), attributes...)
	c.ok(err)
	return url
}

// fifo makes a FIFO queue or ends the case.
func (c *Check) fifo(attributes ...string) (url string) {
	url, err := c.create(integration.Unique("conformance.fifo"), append(attributes, "FifoQueue", "true")...)
	c.ok(err)
	return url
}

// set is SetQueueAttributes.
func (c *Check) set(url string, attributes ...string) error {
	_, err := c.SQS.SetQueueAttributes(c.ctx(), &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: pairs(attributes)})
	return err
}

// attributes is GetQueueAttributes, or ends the case.
func (c *Check) attributes(url string, names ...types.QueueAttributeName) map[string]string {
	got, err := c.SQS.GetQueueAttributes(c.ctx(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	c.ok(err)
	return got.Attributes
}

func (c *Check) attribute(url string, name types.QueueAttributeName) string {
	return c.attributes(url, name)[string(name)]
}

func (c *Check) arn(url string) string { return c.attribute(url, types.QueueAttributeNameQueueArn) }

// redrive makes source dead-letter into dlq.
func (c *Check) redrive(source, dlq string, maxReceives int) {
	c.ok(c.set(source, "RedrivePolicy", c.policy(dlq, maxReceives)))
}

func (c *Check) policy(dlq string, maxReceives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, c.arn(dlq), maxReceives)
}

// trySend is SendMessage.
func (c *Check) trySend(url, body string, change ...func(*sqs.SendMessageInput)) (*sqs.SendMessageOutput, error) {
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}
	for _, f := range change {
		f(in)
	}
	return c.SQS.SendMessage(c.ctx(), in)
}

// send is SendMessage, or ends the case.
func (c *Check) send(url, body string, change ...func(*sqs.SendMessageInput)) *sqs.SendMessageOutput {
	out, err := c.trySend(url, body, change...)
	c.ok(err)
	return out
}

// group sets what a FIFO queue wants of a message; an empty dedup is left out.
func group(id, dedup string) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) {
		in.MessageGroupId = &id
		if dedup != "" {
			in.MessageDeduplicationId = &dedup
		}
	}
}

// tryReceive is ReceiveMessage for up to ten messages, with all that can be asked for.
func (c *Check) tryReceive(url string, change ...func(*sqs.ReceiveMessageInput)) ([]types.Message, error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	}
	for _, f := range change {
		f(in)
	}
	out, err := c.SQS.ReceiveMessage(c.ctx(), in)
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// waiting makes a receive a long poll, hold sets its visibility timeout; in seconds.
func waiting(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = seconds }
}

func hold(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

func atMost(n int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = n }
}

// receive polls until it has n messages, or ends the case. A queue may bring fewer than
// it has in one receive.
func (c *Check) receive(url string, n int, change ...func(*sqs.ReceiveMessageInput)) []types.Message {
	var all []types.Message
	for range n + 2 {
		got, err := c.tryReceive(url, append([]func(*sqs.ReceiveMessageInput){waiting(5)}, change...)...)
		c.ok(err)
		if all = append(all, got...); len(all) >= n {
			break
		}
	}
	if len(all) != n {
		c.fatalf("received %d messages, want %d", len(all), n)
	}
	return all
}

// one receives one message, or ends the case.
func (c *Check) one(url string, change ...func(*sqs.ReceiveMessageInput)) types.Message {
	return c.receive(url, 1, change...)[0]
}

// none wants a receive to bring nothing.
func (c *Check) none(url string) {
	got, err := c.tryReceive(url)
	c.ok(err)
	if len(got) > 0 {
		c.errorf("received %d messages, the first %q; want none", len(got), *got[0].Body)
	}
}

func (c *Check) remove(url string, handle *string) error {
	_, err := c.SQS.DeleteMessage(c.ctx(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: handle})
	return err
}

func (c *Check) extend(url string, handle *string, seconds int32) error {
	_, err := c.SQS.ChangeMessageVisibility(c.ctx(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: handle, VisibilityTimeout: seconds})
	return err
}

// sleep lets time pass; virtual time where the backend has it.
func (c *Check) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ctx().Done():
	}
}

func bodies(messages []types.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, aws.ToString(m.Body))
	}
	return all
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

// with sets message attributes.
func with(attributes map[string]types.MessageAttributeValue) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) { in.MessageAttributes = attributes }
}
