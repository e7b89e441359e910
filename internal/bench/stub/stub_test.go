package stub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// As its first argument they make the test binary the stub's process, or one that
// is none.
const (
	asStub  = "as-stub"
	asOther = "as-other"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asStub:
			if err := stub.Main(os.Stdin, os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		case asOther:
			fmt.Println("something else")
			return
		}
	}
	os.Exit(m.Run())
}

type bundle struct {
	srv    *stub.Server
	client *sqs.Client
	url    string
}

func setup(t *testing.T, budget int64) bundle {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	srv := stub.NewServer(endpoint)
	srv.Reset(stub.Settings{Budget: budget})
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve ended with %v, want that the listener is closed", err)
		}
	})
	return bundle{srv: srv, client: newClient(endpoint), url: srv.QueueURL()}
}

func newClient(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("stub", "stub", ""),
	})
}

func TestReceive(t *testing.T) {
	t.Parallel()
	t.Run("messages have unique ids and handles, right checksums and only the attributes asked for", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1000)
		ids, handles := map[string]bool{}, map[string]bool{}
		for range 20 {
			// The SDK itself checks the MD5 of each body.
			out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
				QueueUrl: &b.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
				MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount", "MessageGroupId"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Messages) != 10 {
				t.Fatalf("%d messages, want 10", len(out.Messages))
			}
			for _, m := range out.Messages {
				ids[*m.MessageId], handles[*m.ReceiptHandle] = true, true
				if n := len(*m.Body); n < 150 || n > 250 {
					t.Errorf("body of %d bytes, want about 200", n)
				}
				if m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["MessageGroupId"] == "" || len(m.Attributes) != 2 {
					t.Errorf("attributes %v, want the two asked for", m.Attributes)
				}
			}
		}
		if len(ids) != 200 || len(handles) != 200 {
			t.Errorf("%d ids and %d handles among 200 messages", len(ids), len(handles))
		}
	})
	t.Run("a receive without attributes brings none and one message by default", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 5)
		out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &b.url})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) != 1 || len(out.Messages[0].Attributes) != 0 {
			t.Errorf("%d messages with attributes %v, want one without", len(out.Messages), out.Messages[0].Attributes)
		}
	})
	t.Run("all timestamps come when all attributes are asked for", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 5)
		out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &b.url, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SentTimestamp", "MessageGroupId"} {
			if out.Messages[0].Attributes[name] == "" {
				t.Errorf("no %s in %v", name, out.Messages[0].Attributes)
			}
		}
	})
	t.Run("the budget bounds the messages and then receives come back empty", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 13)
		var got []int
		for range 3 {
			out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &b.url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, len(out.Messages))
		}
		if diff := cmp.Diff([]int{10, 3, 0}, got); diff != "" {
			t.Errorf("messages per receive (-want +got):\n%s", diff)
		}
		if c := b.srv.Counts(); c.Receive != 3 || c.Received != 13 {
			t.Errorf("counts %+v, want 3 receives of 13 messages", c)
		}
	})
}

func TestSettle(t *testing.T) {
	t.Parallel()
	t.Run("batches succeed entry by entry and are counted", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 10)
		out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &b.url, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		var del []types.DeleteMessageBatchRequestEntry
		var ext []types.ChangeMessageVisibilityBatchRequestEntry
		for i, m := range out.Messages {
			id := aws.String(fmt.Sprint("entry-", i))
			del = append(del, types.DeleteMessageBatchRequestEntry{Id: id, ReceiptHandle: m.ReceiptHandle})
			ext = append(ext, types.ChangeMessageVisibilityBatchRequestEntry{Id: id, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 30})
		}
		extended, err := b.client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &b.url, Entries: ext[:7]})
		if err != nil {
			t.Fatal(err)
		}
		deleted, err := b.client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &b.url, Entries: del})
		if err != nil {
			t.Fatal(err)
		}
		if len(extended.Successful) != 7 || len(extended.Failed) != 0 || len(deleted.Successful) != 10 || len(deleted.Failed) != 0 {
			t.Errorf("extended %+v, deleted %+v, want 7 and 10 successes", extended, deleted)
		}
		for i, s := range deleted.Successful {
			if want := fmt.Sprint("entry-", i); *s.Id != want {
				t.Errorf("entry %d is %q, want %q", i, *s.Id, want)
			}
		}
		c := b.srv.Counts()
		if c.DeleteBatch != 1 || c.Deleted != 10 || c.VisibilityBatch != 1 || c.Extended != 7 || c.Requests() != 3 {
			t.Errorf("counts %+v, want one batch of 10 deletes, one of 7 extensions and one receive", c)
		}
	})
	t.Run("single calls refuse a handle that is made up and take one of the stub's", func(t *testing.T) {
		t.Parallel()
		b := setup(t, 1)
		out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &b.url})
		if err != nil {
			t.Fatal(err)
		}
		for _, handle := range []*string{aws.String("made-up"), out.Messages[0].ReceiptHandle} {
			_, delErr := b.client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &b.url, ReceiptHandle: handle})
			_, extErr := b.client.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &b.url, ReceiptHandle: handle})
			for _, err := range []error{delErr, extErr} {
				var invalid *types.ReceiptHandleIsInvalid
				if refused := errors.As(err, &invalid); refused != (*handle == "made-up") {
					t.Errorf("handle %.10q: error %v", *handle, err)
				}
			}
		}
	})
}

func TestQueueCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, 0)
	u, err := b.client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(stub.QueueName)})
	if err != nil || *u.QueueUrl != b.url {
		t.Errorf("GetQueueUrl gives %v, %v, want %s", u, err, b.url)
	}
	a, err := b.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &b.url})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"QueueArn": stub.QueueARN, "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600"} {
		if got := a.Attributes[name]; got != want {
			t.Errorf("attribute %s is %q, want %q", name, got, want)
		}
	}
	// The SDK itself checks the MD5 of the body it sent.
	if _, err := b.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &b.url, MessageBody: aws.String("a \"body\"\n")}); err != nil {
		t.Error(err)
	}
	if _, err := b.client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &b.url}); err == nil || !strings.Contains(err.Error(), "PurgeQueue") {
		t.Errorf("a call that the stub does not know gives %v, want an error that names it", err)
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	t.Run("a child process serves calls and its counters", func(t *testing.T) {
		t.Parallel()
		p, err := stub.Spawn(t.Context(), asStub)
		if err != nil {
			t.Fatal(err)
		}
		const latency = 30 * time.Millisecond
		if err := p.Reset(t.Context(), stub.Settings{Latency: latency, Budget: 10}); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		out, err := newClient(p.URL).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(p.QueueURL()), MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); len(out.Messages) != 10 || took < latency {
			t.Errorf("%d messages after %s, want 10 after at least %s", len(out.Messages), took, latency)
		}
		if c, err := p.Counts(t.Context()); err != nil || c.Receive != 1 || c.Received != 10 {
			t.Errorf("counts %+v, %v, want one receive of 10", c, err)
		}
		if err := p.Reset(t.Context(), stub.Settings{}); err != nil {
			t.Fatal(err)
		}
		if c, err := p.Counts(t.Context()); err != nil || c.Requests() != 0 {
			t.Errorf("counts after a reset %+v, %v, want none", c, err)
		}
		if err := p.Reset(t.Context(), stub.Settings{Latency: -1}); err == nil || !strings.Contains(err.Error(), "latency") {
			t.Errorf("a negative latency gives %v, want an error that names it", err)
		}
		if err := p.Reset(t.Context(), stub.Settings{Budget: -1}); err == nil || !strings.Contains(err.Error(), "budget") {
			t.Errorf("a negative budget gives %v, want an error that names it", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if _, err := p.Counts(t.Context()); err == nil {
			t.Error("the child still serves after Close")
		}
	})
	t.Run("a child that does not say its URL is an error", func(t *testing.T) {
		t.Parallel()
		if _, err := stub.Spawn(t.Context(), asOther); err == nil || !strings.Contains(err.Error(), "something else") {
			t.Errorf("Spawn gives %v, want an error with what the child said", err)
		}
	})
	t.Run("the server ends when its input does", func(t *testing.T) {
		t.Parallel()
		in, parent := io.Pipe()
		address, out := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- stub.Main(in, out) }()
		line := make([]byte, 64)
		if _, err := address.Read(line); err != nil {
			t.Fatal(err)
		}
		parent.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-ctx.Done():
			t.Error("it still serves")
		}
	})
}
