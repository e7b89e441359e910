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
	"github.com/holdfast-go/holdfast/producer"
)

// sending is one of those that are compared: send returns when SQS has the message.
type sending struct {
	send  func(ctx context.Context, body string) error
	close func() error
}

// sendBatchCalls is how many requests of ten are under way at once on both sides that
// gather, and sendLinger how long they wait for a full one: the producer's defaults.
const (
	sendBatchCalls = 16
	sendLinger     = 5 * time.Millisecond
)

// sendOne is one SendMessage for each message.
func sendOne(target *stub.Process) (sending, error) {
	client, done := newClient(target.URL)
	url := target.QueueURL()
	return sending{
		send: func(ctx context.Context, body string) error {
			_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
			return err
		},
		close: func() error { done(); return nil },
	}, nil
}

// sendHoldfast is the producer with its defaults.
func sendHoldfast(target *stub.Process) (sending, error) {
	p, err := producer.New(newPlainClient(target.URL), target.QueueURL(), producer.Config{})
	if err != nil {
		return sending{}, err
	}
	return sending{
		send:  func(ctx context.Context, body string) error { return p.Send(ctx, producer.Message{Body: body}) },
		close: func() error { return p.Close(context.Background()) },
	}, nil
}

// rawSender is what somebody who knows SQS and the SDK writes by hand to send in
// batches from many goroutines: a channel, gatherers that fill requests of ten, an
// answer for each sender. It reads Failed, and has no retries, no bounds in bytes, no
// order and no drain.
type rawSender struct {
	client   *sqs.Client
	queueURL string
	queue    chan *rawMessage
	gather   sync.Mutex // held by the one who collects a batch
	wg       sync.WaitGroup
}

type rawMessage struct {
	body string
	done chan error
}

func sendRaw(target *stub.Process) (sending, error) {
	client, done := newClient(target.URL)
	r := &rawSender{client: client, queueURL: target.QueueURL(), queue: make(chan *rawMessage, 1000)}
	for range sendBatchCalls {
		r.wg.Go(r.work)
	}
	return sending{send: r.send, close: func() error {
		close(r.queue)
		r.wg.Wait()
		done()
		return nil
	}}, nil
}

func (r *rawSender) send(ctx context.Context, body string) error {
	m := &rawMessage{body, make(chan error, 1)}
	select {
	case r.queue <- m:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *rawSender) work() {
	var ids [10]*string
	for i := range ids {
		ids[i] = aws.String(strconv.Itoa(i))
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	batch := make([]*rawMessage, 0, len(ids))
	for {
		r.gather.Lock()
		batch = r.collect(batch[:0], timer)
		r.gather.Unlock()
		if len(batch) == 0 {
			return
		}
		in := &sqs.SendMessageBatchInput{QueueUrl: &r.queueURL, Entries: make([]types.SendMessageBatchRequestEntry, len(batch))}
		for i, m := range batch {
			in.Entries[i] = types.SendMessageBatchRequestEntry{Id: ids[i], MessageBody: &m.body}
		}
		out, err := r.client.SendMessageBatch(context.Background(), in)
		if err != nil {
			for _, m := range batch {
				m.done <- err
			}
			continue
		}
		for _, f := range out.Failed {
			if i, err := strconv.Atoi(aws.ToString(f.Id)); err == nil && i < len(batch) {
				batch[i].done <- errors.New(aws.ToString(f.Code))
			}
		}
		for _, ok := range out.Successful {
			if i, err := strconv.Atoi(aws.ToString(ok.Id)); err == nil && i < len(batch) {
				batch[i].done <- nil
			}
		}
	}
}

// collect waits for the first message and then at most the linger for nine more.
func (r *rawSender) collect(batch []*rawMessage, timer *time.Timer) []*rawMessage {
	m, ok := <-r.queue
	if !ok {
		return nil
	}
	batch = append(batch, m)
	timer.Reset(sendLinger)
	for len(batch) < 10 {
		select {
		case m, ok := <-r.queue:
			if !ok {
				return batch
			}
			batch = append(batch, m)
		case <-timer.C:
			return batch
		}
	}
	return batch
}

// sendSides are those that are compared, by name.
var sendSides = map[string]func(*stub.Process) (sending, error){"raw": sendRaw, "one by one": sendOne, "holdfast": sendHoldfast}

// open makes a side ready and names it in its errors.
func open(name string, target *stub.Process) (sending, error) {
	s, err := sendSides[name](target)
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}
