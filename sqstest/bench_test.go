package sqstest_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/sqstest"
)

// meter tells the server's part of a run from the client's. Both are in the same
// goroutine, which must be locked to its thread.
type meter struct {
	http.RoundTripper
	server time.Duration
}

func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	start := threadCPU()
	res, err := m.RoundTripper.RoundTrip(r)
	m.server += threadCPU() - start
	return res, err
}

// threadCPU is the CPU time that this thread has used.
func threadCPU() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// round is ten messages through the SDK's client, in batches of ten: three calls.
type round struct {
	client *sqs.Client
	send   *sqs.SendMessageBatchInput
	fifo   bool
	groups int
	sent   int
}

func newRound(srv *sqstest.Server, q *sqstest.Queue, groups int, m *meter) *round {
	r := &round{
		client: srv.SQS(func(o *sqs.Options) {
			if m != nil {
				m.RoundTripper = srv.HTTPClient().Transport
				o.HTTPClient = &http.Client{Transport: m}
			}
		}),
		send: &sqs.SendMessageBatchInput{QueueUrl: &q.URL}, fifo: strings.HasSuffix(q.Name, ".fifo"), groups: groups,
	}
	for i := range 10 {
		r.send.Entries = append(r.send.Entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(strings.Repeat("x", 256))})
	}
	return r
}

func (r *round) run(b *testing.B) {
	b.Helper()
	if r.fifo {
		for i := range r.send.Entries {
			r.sent++
			r.send.Entries[i].MessageGroupId = aws.String(strconv.Itoa(r.sent % r.groups))
			r.send.Entries[i].MessageDeduplicationId = aws.String("round" + strconv.Itoa(r.sent))
		}
	}
	if _, err := r.client.SendMessageBatch(b.Context(), r.send); err != nil {
		b.Fatal(err)
	}
	got, err := r.client.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: r.send.QueueUrl, MaxNumberOfMessages: 10})
	if err != nil || len(got.Messages) != 10 {
		b.Fatalf("received %d: %v", len(got.Messages), err)
	}
	remove := &sqs.DeleteMessageBatchInput{QueueUrl: r.send.QueueUrl}
	for i := range got.Messages {
		remove.Entries = append(remove.Entries, types.DeleteMessageBatchRequestEntry{Id: r.send.Entries[i].Id, ReceiptHandle: got.Messages[i].ReceiptHandle})
	}
	if _, err := r.client.DeleteMessageBatch(b.Context(), remove); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRound is ten messages sent, received and deleted. server/client is what
// of its CPU the server used, as a part of what the client did: at most 0.5 is
// wanted. It must not grow with the queue's depth, the number of its FIFO groups,
// or the long polls that wait on other queues.
func BenchmarkRound(b *testing.B) {
	measure := func(name string, prepare func(b *testing.B, srv *sqstest.Server) (*sqstest.Queue, int)) {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			srv := sqstest.New(b, sqstest.NoHistory(), sqstest.LogLimit(-1))
			q, groups := prepare(b, srv)
			var m meter
			r := newRound(srv, q, groups, &m)
			r.run(b) // so that what is made once is made
			runtime.GC()
			m.server = 0
			start := threadCPU()
			b.ReportAllocs()
			for b.Loop() {
				r.run(b)
			}
			client := threadCPU() - start - m.server
			b.ReportMetric(float64(m.server)/float64(client), "server/client")
			b.ReportMetric(float64(m.server.Nanoseconds())/float64(b.N), "server-ns/op")
		})
	}
	for _, depth := range []int{0, 1_000, 1_000_000} {
		measure(fmt.Sprintf("depth=%d", depth), func(b *testing.B, srv *sqstest.Server) (*sqstest.Queue, int) {
			q := srv.Queue(b, "q")
			for range depth {
				q.Send(b, "x")
			}
			return q, 0
		})
	}
	for _, groups := range []int{10, 100_000} {
		measure(fmt.Sprintf("groups=%d", groups), func(b *testing.B, srv *sqstest.Server) (*sqstest.Queue, int) {
			q := srv.Queue(b, "q.fifo")
			for i := range 100_000 {
				q.Send(b, "x", sqstest.Group(strconv.Itoa(i%groups)))
			}
			return q, groups
		})
	}
	for _, polls := range []int{1, 1_000} {
		measure(fmt.Sprintf("polls=%d", polls), func(b *testing.B, srv *sqstest.Server) (*sqstest.Queue, int) {
			other := srv.Queue(b, "other")
			ctx, cancel := context.WithCancel(b.Context())
			var polling sync.WaitGroup
			b.Cleanup(func() { cancel(); polling.Wait() })
			client := srv.SQS()
			for range polls {
				polling.Go(func() {
					for ctx.Err() == nil {
						_, _ = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &other.URL, WaitTimeSeconds: 20})
					}
				})
			}
			for other.Polls() < polls {
				runtime.Gosched()
			}
			return srv.Queue(b, "q"), 0
		})
	}
}
