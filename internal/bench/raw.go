package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// rawLoop is the yardstick: the loop somebody who knows SQS and the SDK writes
// by hand for one service. Pollers fill a channel, a pool of workers empties it,
// deleters collect ten handled messages per call. It has the options that make
// it fast (long polls of ten, a buffer so that workers do not wait for a receive,
// full delete batches, one client on a tuned transport) and nothing else: no
// heartbeat, no retry by visibility, no health, no drain deadline.
type rawLoop struct {
	client   *sqs.Client
	queueURL string
	handle   func(context.Context, *types.Message) error

	pollers  int
	workers  int
	deleters int
	linger   time.Duration

	messages chan *types.Message
	handled  chan *types.Message
	gather   sync.Mutex // held by the one deleter that collects a batch

	fail     sync.Mutex // guards failures
	failures []error
}

func newRawLoop(client *sqs.Client, queueURL string, handle func(context.Context, *types.Message) error) *rawLoop {
	return &rawLoop{
		client: client, queueURL: queueURL, handle: handle,
		pollers: rawPollers, workers: concurrency, deleters: rawDeleters, linger: 20 * time.Millisecond,
	}
}

// Chosen by trial on two cores: with fewer the workers starve at 10 ms latency (16
// reach 14,000 messages/s with handlers of 5 ms, 24 reach 18,000), more gain nothing
// there and cost CPU at 0 ms.
const (
	rawPollers  = 24
	rawDeleters = 24
)

// run works until ctx is cancelled, then finishes what it has received.
func (l *rawLoop) run(ctx context.Context) error {
	l.messages = make(chan *types.Message, l.workers)
	l.handled = make(chan *types.Message, l.workers)
	var pollers, workers, deleters sync.WaitGroup
	for range l.deleters {
		deleters.Go(l.delete)
	}
	for range l.workers {
		workers.Go(l.work)
	}
	for range l.pollers {
		pollers.Go(func() { l.poll(ctx) })
	}
	pollers.Wait()
	close(l.messages)
	workers.Wait()
	close(l.handled)
	deleters.Wait()
	return errors.Join(l.failures...)
}

func (l *rawLoop) poll(ctx context.Context) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &l.queueURL,
		MaxNumberOfMessages:         10,
		WaitTimeSeconds:             20,
		VisibilityTimeout:           30,
		MessageSystemAttributeNames: systemAttributes,
		MessageAttributeNames:       []string{"All"},
	}
	for ctx.Err() == nil {
		out, err := l.client.ReceiveMessage(context.WithoutCancel(ctx), in)
		if err != nil {
			l.failed(fmt.Errorf("receive: %w", err))
			time.Sleep(time.Second)
			continue
		}
		for i := range out.Messages {
			l.messages <- &out.Messages[i]
		}
	}
}

func (l *rawLoop) work() {
	for m := range l.messages {
		if l.handle(context.Background(), m) == nil {
			l.handled <- m
		}
	}
}

func (l *rawLoop) delete() {
	ids := [10]*string{}
	for i := range ids {
		ids[i] = aws.String(strconv.Itoa(i))
	}
	entries := make([]types.DeleteMessageBatchRequestEntry, 0, len(ids))
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &l.queueURL}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l.gather.Lock()
		batch := l.collect(entries[:0], &ids, timer)
		l.gather.Unlock()
		if len(batch) == 0 {
			return
		}
		in.Entries = batch
		out, err := l.client.DeleteMessageBatch(context.Background(), in)
		switch {
		case err != nil:
			l.failed(fmt.Errorf("delete: %w", err))
		case len(out.Failed) > 0:
			l.failed(fmt.Errorf("delete: %d entries failed", len(out.Failed)))
		}
	}
}

// collect waits for the first handled message and then at most the linger for
// nine more. It returns nothing when there will be none.
func (l *rawLoop) collect(batch []types.DeleteMessageBatchRequestEntry, ids *[10]*string, timer *time.Timer) []types.DeleteMessageBatchRequestEntry {
	m, ok := <-l.handled
	if !ok {
		return nil
	}
	batch = append(batch, types.DeleteMessageBatchRequestEntry{Id: ids[0], ReceiptHandle: m.ReceiptHandle})
	timer.Reset(l.linger)
	for len(batch) < len(ids) {
		select {
		case m, ok := <-l.handled:
			if !ok {
				return batch
			}
			batch = append(batch, types.DeleteMessageBatchRequestEntry{Id: ids[len(batch)], ReceiptHandle: m.ReceiptHandle})
		case <-timer.C:
			return batch
		}
	}
	return batch
}

func (l *rawLoop) failed(err error) {
	l.fail.Lock()
	defer l.fail.Unlock()
	l.failures = append(l.failures, err)
}

// runRaw is the yardstick's side of the comparison.
func runRaw(ctx context.Context, target *stub.Process, handle func()) error {
	client, done := newClient(target.URL)
	defer done()
	return newRawLoop(client, target.QueueURL(), func(context.Context, *types.Message) error {
		handle()
		return nil
	}).run(ctx)
}
