package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// visibility is so short that the stories are. In production leave it to its default.
const visibility = 2 * time.Second

// stage is an SQS with one queue and a store of claims, both in this process, for
// several workers that take each other for other processes.
type stage struct {
	ctx   context.Context //nolint:containedctx // it is the life of the stage
	stop  context.CancelFunc
	sqs   *sqsserver.Server
	url   string
	store *idempotency.MemoryStore
	works sync.WaitGroup
}

// workID is the message attribute that names the work.
const workID = "work-id"

// newStage makes a queue with one message in it. close ends it with all its workers.
func newStage(ctx context.Context, id, body string) (*stage, error) {
	s := &stage{sqs: sqsserver.New(sqsserver.Config{}), store: idempotency.NewMemoryStore()}
	s.ctx, s.stop = context.WithCancel(ctx)
	client := s.client(s.sqs.Transport())
	made, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("effects")})
	if err != nil {
		return nil, err
	}
	s.url = aws.ToString(made.QueueUrl)
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: made.QueueUrl, MessageBody: aws.String(body),
		MessageAttributes: map[string]types.MessageAttributeValue{
			workID: {DataType: aws.String("String"), StringValue: aws.String(id)},
		},
	})
	return s, err
}

func (s *stage) close() {
	s.stop()
	s.works.Wait()
}

func (s *stage) client(transport http.RoundTripper) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       sqsserver.DefaultRegion,
		BaseEndpoint: aws.String("http://sqs.invalid"),
		HTTPClient:   &http.Client{Transport: transport},
		Credentials:  credentials.NewStaticCredentialsProvider("demo", "demo", ""),
	})
}

// worker is a worker with a machine of its own, which can be cut off from all others,
// as when it dies or freezes.
type worker struct {
	stage *stage
	// beforeRecord is called when a handler is done, before that is recorded.
	beforeRecord func()
	returned     chan error    // what the handler returned, run by run
	deleted      chan struct{} // a message was done, and its delete confirmed

	mu  sync.Mutex // guards all below
	off bool
	// wake is closed when it is no longer cut off.
	wake chan struct{}
	// hang ends the calls that are under way when it is cut off.
	hang   context.Context //nolint:containedctx // it is the life of its connections
	hangUp context.CancelFunc
}

func (s *stage) worker() *worker {
	w := &worker{stage: s, returned: make(chan error, 8), deleted: make(chan struct{}, 8), wake: make(chan struct{})}
	w.hang, w.hangUp = context.WithCancel(s.ctx)
	return w
}

// run starts w with a handler. It works until the stage is closed.
func run[T any](w *worker, handle func(context.Context, T) error) error {
	h := holdfast.JSON(func(ctx context.Context, v T) error {
		err := handle(ctx, v)
		w.returned <- err
		return err
	})
	once := idempotency.New(ownStore{w.stage.store, w}, idempotency.Config{
		Consumer: "effects", KeyAttribute: workID, Process: new(idempotency.Process),
	})
	c, err := consumer.New(w.stage.client(w), w.stage.url, h, consumer.Config{
		Middleware:  []holdfast.Middleware{once},
		Visibility:  visibility,
		StopTimeout: time.Second,
		PollGrace:   -1,
		Hooks: holdfast.Hooks{
			Settled: func(e holdfast.SettledEvent) {
				if e.Outcome == holdfast.Done {
					w.deleted <- struct{}{}
				}
			},
		},
	})
	if err != nil {
		return err
	}
	w.stage.works.Go(func() {
		_ = c.Run(w.stage.ctx) // a worker that was cut off cannot stop in order
	})
	return nil
}

// cutOff lets no call of the worker out from now on, and no reply in.
func (w *worker) cutOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	w.hangUp()
}

// restore ends that: what waited goes on.
func (w *worker) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = false
	w.hang, w.hangUp = context.WithCancel(w.stage.ctx)
	close(w.wake)
}

// connected waits while the worker is cut off.
func (w *worker) connected(ctx context.Context) (hang context.Context, err error) {
	w.mu.Lock()
	off, hang := w.off, w.hang
	w.mu.Unlock()
	if !off {
		return hang, nil
	}
	select {
	case <-w.wake:
		return w.connected(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// through makes one call of a worker to the world outside.
func through[R any](ctx context.Context, w *worker, call func(context.Context) (R, error)) (reply R, err error) {
	hang, err := w.connected(ctx)
	if err != nil {
		return reply, err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(hang, cancel)()
	got, err := call(inner)
	if _, off := w.connected(ctx); off != nil {
		return reply, off
	}
	return got, err
}

// RoundTrip implements http.RoundTripper for calls of SQS.
func (w *worker) RoundTrip(r *http.Request) (*http.Response, error) {
	return through(r.Context(), w, func(ctx context.Context) (*http.Response, error) {
		return w.stage.sqs.Transport().RoundTrip(r.WithContext(ctx))
	})
}

// ownStore is the store as one worker reaches it.
type ownStore struct {
	idempotency.Store
	w *worker
}

func (s ownStore) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	return through(ctx, s.w, func(ctx context.Context) (idempotency.ClaimReply, error) { return s.Store.Claim(ctx, r) })
}

func (s ownStore) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	return through(ctx, s.w, func(ctx context.Context) (idempotency.ExtendReply, error) { return s.Store.Extend(ctx, r) })
}

func (s ownStore) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	if s.w.beforeRecord != nil {
		s.w.beforeRecord()
	}
	return through(ctx, s.w, func(ctx context.Context) (idempotency.CompleteReply, error) { return s.Store.Complete(ctx, r) })
}

func (s ownStore) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	return through(ctx, s.w, func(ctx context.Context) (idempotency.ReleaseReply, error) { return s.Store.Release(ctx, r) })
}

// errSlow says that a story stands still.
var errSlow = errors.New("nothing happened for 30 s")

// wait returns what arrives.
func wait[T any](ctx context.Context, c <-chan T) (v T, err error) {
	t := time.NewTimer(30 * time.Second)
	defer t.Stop()
	select {
	case v = <-c:
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	case <-t.C:
		return v, errSlow
	}
}
