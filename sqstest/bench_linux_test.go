package sqstest_test

import (
	"context"
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

// wants fails a benchmark whose figure is above its limit, once it has run long enough
// to tell.
func wants(b *testing.B, figure string, value, limit float64) {
	b.Helper()
	b.ReportMetric(value, figure)
	if b.N >= 1000 && value > limit {
		b.Errorf("%s is %.2f after %d rounds, want at most %.1f", figure, value, b.N, limit)
	}
}

// round is ten messages through the SDK's client, in batches of ten: three calls.
type round struct {
	client *sqs.Client
	send   *sqs.SendMessageBatchInput
	fifo   bool
	groups int
	sent   int
	meter  *meter
}

func newRound(srv *sqstest.Server, q *sqstest.Queue, groups int, m *meter) *round {
	m.RoundTripper = srv.HTTPClient().Transport
	r := &round{
		client: srv.SQS(func(o *sqs.Options) { o.HTTPClient = &http.Client{Transport: m} }),
		meter:  m,
		send:   &sqs.SendMessageBatchInput{QueueUrl: &q.URL}, fifo: strings.HasSuffix(q.Name, ".fifo"), groups: groups,
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
	if err := r.remove(b.Context(), got.Messages); err != nil {
		b.Fatal(err)
	}
}

func (r *round) remove(ctx context.Context, messages []types.Message) error {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: r.send.QueueUrl}
	for i := range messages {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: r.send.Entries[i].Id, ReceiptHandle: messages[i].ReceiptHandle})
	}
	_, err := r.client.DeleteMessageBatch(ctx, in)
	return err
}

// BenchmarkRound is ten messages sent, received and deleted. server/client is what
// of its CPU the server used, as a part of what the client did.
func BenchmarkRound(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	srv := sqstest.New(b, sqstest.NoHistory(), sqstest.LogLimit(-1))
	var m meter
	r := newRound(srv, srv.Queue(b, "q"), 0, &m)
	r.run(b) // so that what is made once is made
	m.server = 0
	start := threadCPU()
	b.ReportAllocs()
	for b.Loop() {
		r.run(b)
	}
	client := threadCPU() - start - m.server
	wants(b, "server/client", float64(m.server)/float64(client), 0.5)
	b.ReportMetric(float64(m.server.Nanoseconds())/float64(b.N), "server-ns/op")
}

// BenchmarkGrowth is that round on a small and on a large server, in turns, so
// that neither the machine's other work nor the garbage collector's favours one.
// large/small is the quotient of the CPU that a round takes, of client and server,
// and server-large/small that of the server's part.
func BenchmarkGrowth(b *testing.B) {
	compare := func(name string, small, large int, limit float64, prepare func(b *testing.B, srv *sqstest.Server, n int) *round) {
		b.Run(name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var rounds [2]*round
			var meters [2]*meter
			for i, n := range []int{small, large} {
				rounds[i] = prepare(b, sqstest.New(b, sqstest.NoHistory(), sqstest.LogLimit(-1)), n)
				meters[i] = rounds[i].meter
				rounds[i].run(b)
				meters[i].server = 0
			}
			runtime.GC()
			var cpu [2]time.Duration
			for b.Loop() {
				for i, r := range rounds {
					start := threadCPU()
					r.run(b)
					cpu[i] += threadCPU() - start
				}
			}
			wants(b, "large/small", float64(cpu[1])/float64(cpu[0]), limit)
			b.ReportMetric(float64(meters[1].server)/float64(meters[0].server), "server-large/small")
		})
	}
	compare("depth 1,000 and 1,000,000", 1_000, 1_000_000, 1.3, func(b *testing.B, srv *sqstest.Server, depth int) *round {
		q := srv.Queue(b, "q")
		for range depth {
			q.Send(b, "x")
		}
		return newRound(srv, q, 0, &meter{})
	})
	compare("10 and 100,000 groups", 10, 100_000, 1.5, func(b *testing.B, srv *sqstest.Server, groups int) *round {
		q := srv.Queue(b, "q.fifo")
		for i := range 100_000 {
			q.Send(b, "x", sqstest.Group(strconv.Itoa(i%groups)))
		}
		return newRound(srv, q, groups, &meter{})
	})
	compare("1 and 1,000 long polls elsewhere", 1, 1_000, 1.3, func(b *testing.B, srv *sqstest.Server, polls int) *round {
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
		return newRound(srv, srv.Queue(b, "q"), 0, &meter{})
	})
}

// BenchmarkPolls is ten messages sent to a queue on which one poll waits, and to one
// on which 1,000 do. The first in line receives them, deletes them and polls again.
// large/small is the quotient of the CPU that this takes the process.
func BenchmarkPolls(b *testing.B) {
	var rounds [2]*round
	var received [2]chan int
	for i, polls := range []int{1, 1_000} {
		srv := sqstest.New(b, sqstest.NoHistory(), sqstest.LogLimit(-1))
		q := srv.Queue(b, "q")
		rounds[i], received[i] = newRound(srv, q, 0, &meter{}), make(chan int)
		ctx, cancel := context.WithCancel(b.Context())
		var polling sync.WaitGroup
		b.Cleanup(func() { cancel(); polling.Wait() })
		client := srv.SQS()
		for range polls {
			polling.Go(func() {
				for ctx.Err() == nil {
					got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.URL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
					if err != nil || len(got.Messages) == 0 {
						continue
					}
					rounds[i].remove(ctx, got.Messages)
					received[i] <- len(got.Messages)
				}
			})
		}
		for q.Polls() < polls {
			runtime.Gosched()
		}
	}
	runtime.GC()
	var cpu [2]time.Duration
	for b.Loop() {
		for i, r := range rounds {
			start := processCPU(b)
			if _, err := r.client.SendMessageBatch(b.Context(), r.send); err != nil {
				b.Fatal(err)
			}
			for n := 0; n < 10; {
				n += <-received[i]
			}
			cpu[i] += processCPU(b) - start
		}
	}
	wants(b, "large/small", float64(cpu[1])/float64(cpu[0]), 1.3)
}
