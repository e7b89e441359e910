package producer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// inBubble runs a test in virtual time. The bubble fails the test where a goroutine
// is left behind, so every such test is one for leaks too.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// to makes a producer to a queue that is closed when the test ends.
func to(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, cfg producer.Config) *producer.Producer {
	t.Helper()
	p, err := producer.New(srv.SQS(), q.URL, cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	closeAtEnd(t, p)
	return p
}

// toTopic makes a producer to a topic that is closed when the test ends.
func toTopic(t *testing.T, srv *sqstest.Server, topic *sqstest.Topic) *producer.Producer {
	t.Helper()
	p, err := producer.New(srv.SNS(), topic.ARN, producer.Config{})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	closeAtEnd(t, p)
	return p
}

func closeAtEnd(t *testing.T, p *producer.Producer) {
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if s := p.Stats(); s.Pending != 0 || s.PendingBytes != 0 {
			t.Errorf("after Close %d messages with %d bytes are pending", s.Pending, s.PendingBytes)
		}
	})
}

// texts makes n messages with the bodies "0" to "n-1".
func texts(n int) []producer.Message {
	msgs := make([]producer.Message, n)
	for i := range msgs {
		msgs[i].Body = fmt.Sprint(i)
	}
	return msgs
}

// each sends messages from a goroutine each and returns their errors.
func each(ctx context.Context, p *producer.Producer, msgs []producer.Message) []error {
	errs := make([]error, len(msgs))
	var wg sync.WaitGroup
	for i, m := range msgs {
		wg.Go(func() { errs[i] = p.Send(ctx, m) })
	}
	wg.Wait()
	return errs
}

// bodies are those of the messages on a queue, in their order.
func bodies(q *sqstest.Queue) []string {
	var list []string
	for _, m := range q.Messages() {
		list = append(list, m.Body)
	}
	return list
}

// counts is how often each body is on a queue.
func counts(q *sqstest.Queue) map[string]int {
	n := make(map[string]int)
	for _, b := range bodies(q) {
		n[b]++
	}
	return n
}

func took(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

var errTest = errors.New("test failure")
