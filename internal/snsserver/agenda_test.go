package snsserver

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// switchable is a queue for everyone that can be down.
type switchable struct {
	mu   sync.Mutex
	down bool
	got  int
}

func (q *switchable) Policy(string) (string, bool) {
	return `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`, true
}

func (q *switchable) Send(string, QueueMessage) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return errors.New("down")
	}
	q.got++
	return nil
}

func (q *switchable) set(down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down = down
}

// subscribed is a server with a topic and a queue that is subscribed to it.
func subscribed(t *testing.T) (s *Server, q *switchable, topicARN string) {
	t.Helper()
	q = &switchable{}
	s = New(Config{NoSignature: true}, q)
	topicARN, err := s.Create("t", nil)
	if err != nil {
		t.Fatal(err)
	}
	subscribeQueue(t, s, topicARN, "q")
	return s, q, topicARN
}

func subscribeQueue(t *testing.T, s *Server, topicARN, name string) {
	t.Helper()
	out := s.do(t.Context(), incoming{contentType: formType, query: "Action=Subscribe&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:000000000000:" + name + "&TopicArn=" + topicARN})
	if out.status != 200 {
		t.Fatalf("%d %s", out.status, out.body)
	}
}

func TestTimerIsThereWhileDeliveriesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, q, topic := subscribed(t)
		timer := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.agenda.timer != nil
		}
		for range 2 { // the second time with a timer that was used before
			q.set(true)
			if _, err := s.Publish(topic, Message{Body: "x"}); err != nil {
				t.Fatal(err)
			}
			if !timer() {
				t.Error("no timer while a delivery waits")
			}
			q.set(false)
			time.Sleep(time.Minute)
			if timer() {
				t.Error("a timer is left when all is delivered")
			}
		}
		if q.got != 2 {
			t.Errorf("%d messages, want 2", q.got)
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	s, q, topic := subscribed(t)
	const publishers, each = 8, 50
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			for range each {
				if _, err := s.Publish(topic, Message{Body: "x"}); err != nil {
					t.Error(err)
				}
				s.Deliveries(topic)
			}
		})
		wg.Go(func() {
			other, err := s.Create(fmt.Sprint("other", i), nil)
			if err != nil {
				t.Error(err)
			}
			subscribeQueue(t, s, other, "q")
			s.Topics()
			s.Log()
			if in, err := s.Inject(Rule{Action: "ListTopics", Cut: true}); err == nil {
				in.Stop()
			}
		})
	}
	wg.Wait()
	if q.got != publishers*each || len(s.Topics()) != publishers+1 {
		t.Errorf("%d messages, %d topics, want %d and %d", q.got, len(s.Topics()), publishers*each, publishers+1)
	}
}
