package sqstest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/sqstest"
)

func TestAServerOnAPort(t *testing.T) {
	t.Parallel()
	t.Run("does what it does in the process", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		url := srv.Listen(t)
		client := srv.SQS(sqstest.At(url))
		made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
		if err != nil {
			t.Fatal(err)
		}
		if want := url + "/" + sqstest.Account + "/q"; *made.QueueUrl != want {
			t.Errorf("queue URL %s, want %s", *made.QueueUrl, want)
		}
		q := srv.Queue(t, "q")
		for range 20 {
			if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("x"), MessageAttributes: attributes(3)}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
			if err != nil || len(got.Messages) != 10 {
				t.Fatalf("receive: %v, %v", got, err)
			}
			in := &sqs.DeleteMessageBatchInput{QueueUrl: made.QueueUrl}
			for _, m := range got.Messages {
				in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String((*m.MessageId)[24:]), ReceiptHandle: m.ReceiptHandle})
			}
			if out, err := client.DeleteMessageBatch(t.Context(), in); err != nil || len(out.Successful) != 10 {
				t.Fatalf("delete: %v, %v", out, err)
			}
		}
		if n := len(q.Deleted()); n != 20 {
			t.Errorf("%d deleted", n)
		}
	})
	t.Run("maps errors", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		_, err := srv.SQS(sqstest.At(srv.Listen(t))).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
		wantError[*types.QueueDoesNotExist](t, err)
	})
	t.Run("breaks connections for faults, and the SDK recovers", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "q")
		url := srv.Listen(t)
		srv.Cut("SendMessage", sqstest.Times(1))
		once := srv.SQS(sqstest.At(url), func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
		in := &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: aws.String("x")}
		if _, err := once.SendMessage(t.Context(), in); err == nil || q.Depth().Visible != 0 {
			t.Errorf("a cut call: %v, depth %+v", err, q.Depth())
		}
		srv.DropReply("SendMessage", sqstest.Times(1))
		if _, err := once.SendMessage(t.Context(), in); err == nil || q.Depth().Visible != 1 {
			t.Errorf("a dropped reply: %v, depth %+v", err, q.Depth())
		}
	})
	t.Run("lets a poll go whose client has gone", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		q := srv.Queue(t, "q")
		client := srv.SQS(sqstest.At(srv.Listen(t)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.URL, WaitTimeSeconds: 20})
			done <- err
		}()
		until(t, func() bool { return q.Polls() == 1 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		until(t, func() bool { return q.Polls() == 0 })
	})
	t.Run("ends with its test although polls wait", func(t *testing.T) {
		t.Parallel()
		done := make(chan error, 1)
		t.Run("the test", func(t *testing.T) { //nolint:paralleltest // what follows needs its end
			srv := sqstest.New(t)
			q := srv.Queue(t, "q")
			client := srv.SQS(sqstest.At(srv.Listen(t)), func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
			go func() {
				_, err := client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL, WaitTimeSeconds: 20})
				done <- err
			}()
			until(t, func() bool { return q.Polls() == 1 })
		})
		if err := <-done; err == nil {
			t.Error("the poll succeeded")
		}
	})
}

// until waits for what goroutines of a real network do. It is no time limit of
// ours: a condition that never comes ends with the test binary's.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		}
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestAnUnfitRequestIsRefused(t *testing.T) {
	t.Parallel()
	const send = "AmazonSQS.SendMessage"
	for name, tc := range map[string]struct {
		method, target, body string
		status               int
		says                 string
	}{
		"a GET":                 {http.MethodGet, send, "", http.StatusMethodNotAllowed, "POST"},
		"no target":             {http.MethodPost, "", "{}", 400, "UnknownOperationException"},
		"an unknown target":     {http.MethodPost, "AmazonSQS.Frobnicate", "{}", 400, "UnknownOperationException"},
		"another service":       {http.MethodPost, "AmazonSNS.Publish", "{}", 400, "UnknownOperationException"},
		"garbage":               {http.MethodPost, send, "\xff\x00garbage", 400, "SerializationException"},
		"a number for a text":   {http.MethodPost, send, `{"QueueUrl":1}`, 400, "SerializationException"},
		"a fraction for a wait": {http.MethodPost, "AmazonSQS.ReceiveMessage", `{"WaitTimeSeconds":1.5}`, 400, "SerializationException"},
		"nothing at all":        {http.MethodPost, send, "", 400, "MissingRequiredParameterException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(tc.method, "/", strings.NewReader(tc.body))
			r.Header.Set("X-Amz-Target", tc.target)
			w := httptest.NewRecorder()
			sqstest.New(t).Handler().ServeHTTP(w, r)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
		})
	}
	t.Run("a body without an end is read in part only", func(t *testing.T) {
		t.Parallel()
		srv := sqstest.New(t)
		body := &endless{}
		w := httptest.NewRecorder()
		srv.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", body))
		res, err := srv.HTTPClient().Post("http://sqs/", "application/x-amz-json-1.0", io.NopCloser(&endless{}))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if w.Code != http.StatusRequestEntityTooLarge || res.StatusCode != w.Code || body.read > 64<<20 {
			t.Errorf("status %d and %d, read %d bytes", w.Code, res.StatusCode, body.read)
		}
	})
}

// Not parallel: what other tests allocate would count.
//
//nolint:paralleltest // see above
func TestARequestOf100MiBTakesBoundedMemory(t *testing.T) {
	handler := sqstest.New(t).Handler()
	for name, header := range map[string]http.Header{
		"SQS": {"X-Amz-Target": {"AmazonSQS.SendMessage"}, "Content-Type": {"application/x-amz-json-1.0"}},
		"SNS": {"Content-Type": {"application/x-www-form-urlencoded"}},
	} {
		for _, length := range []int64{100 << 20, -1} { // announced or not
			body := &endless{}
			r := httptest.NewRequest(http.MethodPost, "/", io.LimitReader(body, 100<<20))
			r.Header, r.ContentLength = header, length
			w := httptest.NewRecorder()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			handler.ServeHTTP(w, r)
			runtime.ReadMemStats(&after)
			took := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%s, length %d: %d MiB", name, length, took)
			if w.Code != http.StatusRequestEntityTooLarge || took > 80 { // all of it would be some 250
				t.Errorf("%s, length %d: status %d, %d MiB allocated", name, length, w.Code, took)
			}
		}
	}
}
