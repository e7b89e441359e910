package sqsserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// recorder keeps the shape of all replies, by action.
type recorder struct {
	next   http.RoundTripper
	mu     sync.Mutex // guards shapes
	shapes map[string]map[string]string
	last   []byte
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = body
	if resp.StatusCode == http.StatusOK {
		action := strings.TrimPrefix(req.Header.Get("X-Amz-Target"), targetPrefix)
		if r.shapes[action] == nil {
			r.shapes[action] = map[string]string{}
		}
		maps.Copy(r.shapes[action], shapeOf(body))
	}
	return resp, nil
}

// shapeOf is the members of a body by their paths, with the kind of their values. Keys of
// maps of strings are one path.
func shapeOf(body []byte) map[string]string {
	shape := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				if path == ".Attributes" || path == ".Tags" {
					name = "*"
				}
				walk(path+"."+name, value)
			}
		case []any:
			for _, value := range v {
				walk(path+"[]", value)
			}
		default:
			shape[path] = fmt.Sprintf("%T", v)
		}
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return map[string]string{"": err.Error()}
	}
	walk("", v)
	return shape
}

// recorded is a server behind a recorder, and a client of it.
func recorded(t *testing.T) (*Server, *recorder, *sqs.Client) {
	t.Helper()
	s := New(Config{})
	r := &recorder{next: s.Transport(), shapes: map[string]map[string]string{}}
	return s, r, sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://sqs.test.invalid"), Retryer: aws.NopRetryer{},
		HTTPClient: &http.Client{Transport: r}, Credentials: credentials.NewStaticCredentialsProvider("AKIDTEST", "secret", ""),
	})
}

func TestRepliesHaveTheShapeOfTheGoldenOnes(t *testing.T) {
	t.Parallel()
	files := golden(t, "response_snapshot", ".response.snap")
	synctest.Test(t, func(t *testing.T) { // a move task takes a while
		_, r, client := recorded(t)
		callEverything(t, client)
		for action, file := range files {
			_, body, _ := bytes.Cut(file, []byte("\n\n"))
			if diff := cmp.Diff(shapeOf(body), r.shapes[action]); diff != "" || r.shapes[action] == nil {
				t.Errorf("the reply of %s (-golden +ours):\n%s", action, diff)
			}
		}
	})
}

// callEverything calls each operation so that its replies together have every member.
func callEverything(t *testing.T, client *sqs.Client) {
	t.Helper()
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	queue := func(name string, attributes map[string]string) *string {
		out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes, Tags: map[string]string{"k": "v"}})
		ok(err)
		return out.QueueUrl
	}
	arn := func(name string) *string { return aws.String("arn:aws:sqs:us-east-1:" + DefaultAccount + ":" + name) }
	dlq, other := queue("dlq", nil), queue("other", nil)
	redrive := map[string]string{"VisibilityTimeout": "0", "RedrivePolicy": `{"deadLetterTargetArn":"` + *arn("dlq") + `","maxReceiveCount":1}`}
	source := queue("source", redrive)
	queue("source-2", redrive)
	_, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("dlq")})
	ok(err)
	_, err = client.ListQueues(ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)})
	ok(err)
	_, err = client.ListDeadLetterSourceQueues(ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dlq, MaxResults: aws.Int32(1)})
	ok(err)
	_, err = client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: dlq, AttributeNames: []types.QueueAttributeName{"All"}})
	ok(err)
	_, err = client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: dlq, Attributes: map[string]string{"DelaySeconds": "0"}})
	ok(err)
	_, err = client.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: dlq, Tags: map[string]string{"a": "b", "c": "d"}})
	ok(err)
	_, err = client.UntagQueue(ctx, &sqs.UntagQueueInput{QueueUrl: dlq, TagKeys: []string{"a"}})
	ok(err)
	_, err = client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: dlq})
	ok(err)
	_, err = client.AddPermission(ctx, &sqs.AddPermissionInput{QueueUrl: dlq, Label: aws.String("l"), AWSAccountIds: []string{"111122223333"}, Actions: []string{"SendMessage"}})
	ok(err)
	_, err = client.RemovePermission(ctx, &sqs.RemovePermissionInput{QueueUrl: dlq, Label: aws.String("l")})
	ok(err)

	for i := range 3 {
		_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: other, MessageBody: aws.String(fmt.Sprint(i))})
		ok(err)
		_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: source, MessageBody: aws.String(fmt.Sprint(i))})
		ok(err)
	}
	got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: other, MaxNumberOfMessages: 10})
	ok(err)
	handles := got.Messages
	_, err = client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: other, ReceiptHandle: handles[0].ReceiptHandle, VisibilityTimeout: 60})
	ok(err)
	made := aws.String("made up")
	_, err = client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: other, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("good"), ReceiptHandle: handles[0].ReceiptHandle, VisibilityTimeout: 60}, {Id: aws.String("bad"), ReceiptHandle: made},
	}})
	ok(err)
	_, err = client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: other, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("good"), ReceiptHandle: handles[1].ReceiptHandle}, {Id: aws.String("bad"), ReceiptHandle: made},
	}})
	ok(err)
	_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: other, ReceiptHandle: handles[2].ReceiptHandle})
	ok(err)
	_, err = client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: other})
	ok(err)

	for range 2 { // the second dead-letters them
		_, err = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: source, MaxNumberOfMessages: 10})
		ok(err)
	}
	// One task is cancelled; the next fails, because its destination goes.
	for _, cancel := range []bool{true, false} {
		task, err := client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: arn("dlq"), DestinationArn: arn("other"), MaxNumberOfMessagesPerSecond: aws.Int32(1)})
		ok(err)
		_, err = client.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: arn("dlq")})
		ok(err)
		if cancel {
			_, err = client.CancelMessageMoveTask(ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: task.TaskHandle})
		} else {
			_, err = client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: other})
		}
		ok(err)
		time.Sleep(time.Minute)
	}
	_, err = client.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: arn("dlq"), MaxResults: aws.Int32(10)})
	ok(err)
}

func TestErrorsHaveTheShapeOfTheGoldenOnes(t *testing.T) {
	t.Parallel()
	files := golden(t, "response_snapshot", ".error.snap")
	known := map[string]bool{}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, body, _ := bytes.Cut(file, []byte("\n\n"))
			s, r, client := recorded(t)
			if _, err := s.Inject(Rule{Fail: &Error{Shape: name, Code: name, Status: http.StatusBadRequest, Message: "__Message__"}}); err != nil {
				t.Fatal(err)
			}
			_, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{})
			var got, want map[string]string
			if err := errors.Join(json.Unmarshal(r.last, &got), json.Unmarshal(body, &want)); err != nil {
				t.Fatal(err)
			}
			var api smithy.APIError
			if !errors.As(err, &api) || reflect.TypeOf(api).Elem().Name() != name || api.ErrorMessage() != want["message"] {
				t.Errorf("the SDK makes %T of it: %v", api, err)
			}
			_, got["__type"], _ = strings.Cut(got["__type"], "#") // behind its namespace
			if _, has := want["message"]; !has {
				delete(got, "message") // two errors have none in the model; people like one
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-golden +ours):\n%s", diff)
			}
		})
		known[name] = true
	}
	if !known["QueueDoesNotExist"] {
		t.Errorf("golden errors: %v", slices.Sorted(maps.Keys(known)))
	}
}
