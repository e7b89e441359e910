//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// job is what a worker process is told, in workerVariable.
type job struct{ life, endpoint, queue, redis, ledger string }

const workerVariable = "HOLDFAST_CHAOS_WORKER"

func (j job) env() string {
	return workerVariable + "=" + strings.Join([]string{j.life, j.endpoint, j.queue, j.redis, j.ledger}, "\n")
}

const (
	keyAttribute = "idempotency-key"
	// visibility is short, so that what a kill leaves comes back within the run.
	visibility  = 10 * time.Second
	concurrency = 32
)

// work is a worker process: what a user would write, with a handler that writes down
// what it does.
func work(ctx context.Context) error {
	part := strings.Split(os.Getenv(workerVariable), "\n")
	if len(part) != 5 {
		return errors.New(workerVariable + " is not set: workers are started by the campaign")
	}
	j := job{part[0], part[1], part[2], part[3], part[4]}
	l, err := openLedger(j.ledger, j.life)
	if err != nil {
		return err
	}
	rdb := redis.NewClient(redisOptions(j.redis))
	l.keys, l.asks = new(sync.Map), new(sync.Map)
	once := idempotency.New(&witness{Store: redisstore.New(rdb), l: l}, idempotency.Config{Consumer: "chaos", KeyAttribute: keyAttribute})
	c, err := consumer.New(sqsClient(j.endpoint), j.queue, holdfast.HandlerFunc(l.handle), consumer.Config{
		Middleware:  []holdfast.Middleware{once},
		Concurrency: concurrency, Visibility: visibility, StopTimeout: 20 * time.Second,
		Hooks: holdfast.Hooks{Received: func(e holdfast.ReceivedEvent) {
			_ = l.write(received, e.Message.ID, int64(e.Message.ReceiveCount)) // the verdict misses it
		}},
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	return c.Run(ctx)
}

// Each deafShare-th key has a handler that does not listen to its context, as much code
// does not: it writes its effect deafFor after it began, whatever happened to its claim.
const (
	deafShare = 200
	deafFor   = 2 * time.Second
)

func deaf(key string) bool {
	n, err := strconv.Atoi(key)
	return err == nil && n%deafShare == 7 // none of those that are sent twice
}

// handle takes some milliseconds, and one in a thousand times longer than the
// visibility of its message.
func (l *ledger) handle(ctx context.Context, m *holdfast.Message) error {
	claim, ok := idempotency.FromContext(ctx)
	if !ok {
		return fmt.Errorf("no claim in the context of %s", m.Body)
	}
	l.keys.Store(claim.Key, m.Body)
	if at, ok := l.asks.LoadAndDelete(grant{claim.Key, claim.Fence}); ok {
		if err := l.writeAt(asked, m.Body, claim.Fence, at.(time.Time)); err != nil {
			return err
		}
	}
	if err := l.write(begun, m.Body, claim.Fence); err != nil {
		return err
	}
	if deaf(m.Body) && !claim.Partial { // who takes over is quick
		<-time.After(deafFor)
		return l.write(effect, m.Body, claim.Fence)
	}
	d := time.Duration(rand.IntN(20)) * time.Millisecond
	if rand.IntN(1000) == 0 {
		d = visibility * 3 / 2
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return l.write(effect, m.Body, claim.Fence)
}

// witness writes down which completions the store has confirmed, and keeps when claims
// were asked for.
type witness struct {
	*redisstore.Store
	l     *ledger
	first sync.Map // token of a claim whose reply is awaited to when it was first asked for
}

// grant is a claim that was made.
type grant struct {
	key   string
	fence int64
}

// Claim keeps when the claim was asked for: it is newer than any claim that was answered
// before, and so its fence must be greater. The verdict holds the fences to that.
func (w *witness) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	at, _ := w.first.LoadOrStore(r.Token, time.Now())
	reply, err := w.Store.Claim(ctx, r)
	if err != nil {
		return reply, err
	}
	w.first.Delete(r.Token)
	switch reply.Class {
	case idempotency.ClassNew, idempotency.ClassTakeover, idempotency.ClassOwn:
		w.l.asks.Store(grant{r.Key, reply.Fence}, at)
	}
	return reply, nil
}

func (w *witness) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	reply, err := w.Store.Complete(ctx, r)
	if err == nil && (reply.Class == idempotency.ClassOwn || reply.Class == idempotency.ClassRestored) {
		if body, ok := w.l.keys.LoadAndDelete(r.Key); ok {
			err = w.l.write(recorded, body.(string), r.Fence)
		}
	}
	return reply, err
}

// redisOptions are those that package redisstore advises.
func redisOptions(addr string) *redis.Options {
	return &redis.Options{
		Addr: addr, DialTimeout: time.Second, ReadTimeout: 500 * time.Millisecond, WriteTimeout: 500 * time.Millisecond,
		PoolTimeout: time.Second, MaxRetries: 1, ContextTimeoutEnabled: true,
	}
}

func sqsClient(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: aws.String(endpoint), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}
