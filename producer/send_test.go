package producer_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestSend(t *testing.T) {
	t.Parallel()
	t.Run("reaches a queue by name, URL and ARN", toQueues)
	t.Run("carries all that a message has", carriesAll)
	t.Run("reaches a topic and its queues", toTopics)
	t.Run("writes nothing to the message that it was given", writesNothing)
}

func toQueues(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		for _, name := range []string{q.Name, q.URL, q.ARN} {
			p, err := producer.New(srv.SQS(), name, producer.Config{})
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, p)
			if err := p.Send(t.Context(), producer.Message{Body: name}); err != nil {
				t.Errorf("to %s: %v", name, err)
			}
		}
		if diff := cmp.Diff([]string{q.Name, q.URL, q.ARN}, bodies(q)); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

func carriesAll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{})
		m := producer.Message{
			Body: "charge 1", Key: "order-1", GroupID: "tenant", Delay: 15 * time.Minute, ContentType: "text/plain",
			Attributes: map[string]holdfast.Attribute{"n": {Type: "Number.int", String: "7"}, "b": {Type: "Binary", Binary: []byte{0, 1}}},
			Trace:      producer.Trace{AWSTraceHeader: "Root=1-5759e988-bd862e3fe1be46a994272793", TraceParent: parent},
		}
		results, err := p.SendBatch(t.Context(), []producer.Message{m})
		if err != nil {
			t.Fatal(err)
		}
		got := q.Messages()[0]
		want := map[string]sqstest.Attribute{
			"n": {Type: "Number.int", Text: "7"}, "b": {Type: "Binary", Binary: []byte{0, 1}},
			"idempotency-key": {Type: "String", Text: "order-1"}, "content-type": {Type: "String", Text: "text/plain"},
			"traceparent": {Type: "String", Text: parent},
		}
		if diff := cmp.Diff(want, got.Attributes); diff != "" {
			t.Errorf("attributes (-want +got):\n%s", diff)
		}
		if got.ID != results[0].MessageID || got.Body != m.Body || got.Group != "tenant" || got.State != sqstest.Delayed || !got.VisibleAt.Equal(got.SentAt.Add(m.Delay)) {
			t.Errorf("on the queue is %+v, the result %+v", got, results[0])
		}
	})
}

func toTopics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, name := range []string{"orders", "orders.fifo"} {
			srv := sqstest.New(t)
			topic := srv.Topic(t, name)
			q := srv.Queue(t, strings.Replace(name, "orders", "billing", 1))
			topic.Subscribe(t, q, sqstest.Raw())
			p := toTopic(t, srv, topic)
			m := producer.Message{Body: "paid", Subject: "an order", Key: "o-1", GroupID: "g", Attributes: map[string]holdfast.Attribute{"a": {Type: "String.Array", String: `["x"]`}}}
			results, err := p.SendBatch(t.Context(), []producer.Message{m, {Body: "sent", GroupID: "g"}})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			published := topic.Published()
			if len(published) != 2 || published[0].MessageID != results[0].MessageID || published[0].Subject != "an order" || published[0].Group != "g" ||
				published[0].Attributes["idempotency-key"].Text != "o-1" || published[0].Attributes["a"].Text != `["x"]` {
				t.Errorf("%s: published is %+v, results are %+v", name, published, results)
			}
			if diff := cmp.Diff([]string{"paid", "sent"}, bodies(q)); diff != "" {
				t.Errorf("%s: on the queue (-want +got):\n%s", name, diff)
			}
			if fifo := strings.HasSuffix(name, ".fifo"); fifo != (results[0].SequenceNumber != "") {
				t.Errorf("%s: sequence number is %q", name, results[0].SequenceNumber)
			}
		}
	})
}

func writesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p := to(t, srv, srv.Queue(t, "orders.fifo"), producer.Config{})
		msgs := []producer.Message{{Body: "x", Key: "k", GroupID: "g", Attributes: map[string]holdfast.Attribute{"a": {Type: "String", String: "b"}}}}
		if _, err := p.SendBatch(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
		want := producer.Message{Body: "x", Key: "k", GroupID: "g", Attributes: map[string]holdfast.Attribute{"a": {Type: "String", String: "b"}}}
		if diff := cmp.Diff(want, msgs[0]); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	})
}

func TestGathering(t *testing.T) {
	t.Parallel()
	t.Run("puts what is sent at once into requests of ten", requestsOfTen)
	t.Run("ends requests before they weigh more than 1 MiB", requestsOfOneMiB)
	t.Run("adds at most the linger to a message alone", latencyAlone)
	t.Run("has counted a message when its sender learns its result", countedBeforeTold)
	t.Run("without linger adds nothing to a message alone", latencyWithoutLinger)
	t.Run("has no more requests under way than Concurrency", boundedCalls)
}

func requestsOfTen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{MaxMessageBytes: 1 << 20})
		spent := took(func() {
			for i, err := range each(t.Context(), p, texts(100)) {
				if err != nil {
					t.Errorf("message %d: %v", i, err)
				}
			}
		})
		if n := srv.Calls("SendMessageBatch"); n != 10 || len(counts(q)) != 100 || spent != 0 {
			t.Errorf("%d requests for %d messages in %v, want 10 for 100 without any wait", n, len(counts(q)), spent)
		}
		if n := len(srv.Log()); n != 10 {
			t.Errorf("%d calls in all, want none but those that send: MaxMessageBytes is set", n)
		}
	})
}

func requestsOfOneMiB(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		var most, failed int
		p := to(t, srv, q, producer.Config{Hooks: producer.Hooks{Called: func(e producer.CalledEvent) {
			most, failed = max(most, e.Messages), failed+e.Failed
		}}, Concurrency: 1})
		msgs := make([]producer.Message, 20)
		for i := range msgs {
			msgs[i] = producer.Message{Body: strings.Repeat("x", 300<<10), ContentType: "text/plain"}
		}
		if _, err := p.SendBatch(t.Context(), msgs); err != nil {
			t.Fatal(err)
		}
		if n := srv.Calls("SendMessageBatch"); n != 7 || most != 3 || failed != 0 {
			t.Errorf("%d requests of at most %d messages with %d failures, want 7 of 3", n, most, failed)
		}
	})
}

func countedBeforeTold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Linger: -1})
		for n := range int64(2000) {
			if err := p.Send(t.Context(), producer.Message{Body: "x"}); err != nil {
				t.Fatal(err)
			}
			if s := p.Stats(); s.Sent != n+1 || s.Pending != 0 || s.PendingBytes != 0 {
				t.Fatalf("after %d Sends: %+v", n+1, s)
			}
		}
	})
}

func latencyAlone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Delay("SendMessageBatch", 20*time.Millisecond)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Linger: 3 * time.Millisecond})
		for range 10 {
			if spent := took(func() { p.Send(t.Context(), producer.Message{Body: "x"}) }); spent > 23*time.Millisecond || spent < 22*time.Millisecond {
				t.Errorf("took %v, want the request's 20 ms and nearly the linger of 3 ms", spent)
			}
			time.Sleep(time.Second)
		}
	})
}

func latencyWithoutLinger(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Delay("SendMessageBatch", 20*time.Millisecond)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Linger: -1, Concurrency: 1})
		if spent := took(func() { p.Send(t.Context(), producer.Message{Body: "x"}) }); spent != 20*time.Millisecond {
			t.Errorf("took %v, want the request's 20 ms", spent)
		}
		if spent := took(func() { each(t.Context(), p, texts(11)) }); spent != 40*time.Millisecond && spent != 60*time.Millisecond {
			t.Errorf("11 at once took %v, want 2 or 3 requests of 20 ms", spent)
		}
	})
}

func boundedCalls(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Delay("SendMessageBatch", 20*time.Millisecond)
		p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Concurrency: 4})
		if spent := took(func() { each(t.Context(), p, texts(200)) }); spent != 100*time.Millisecond {
			t.Errorf("20 requests of 20 ms took %v, want 100 ms for four at once", spent)
		}
	})
}

// What a topic takes in a message bounds a request too.
func TestTopicBoundsRequests(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		var sizes []int // one request is under way at a time
		p, err := producer.New(srv.SNS(), srv.Topic(t, "small", sqstest.TopicAttribute("MaximumMessageSize", "1024")).ARN, producer.Config{
			Concurrency: 1, Hooks: producer.Hooks{Called: func(e producer.CalledEvent) { sizes = append(sizes, e.Messages) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, p)
		msgs := make([]producer.Message, 9)
		for i := range msgs {
			msgs[i].Body = strings.Repeat("x", 300)
		}
		if _, err := p.SendBatch(t.Context(), msgs); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]int{3, 3, 3}, sizes); diff != "" {
			t.Errorf("messages per request (-want +got):\n%s", diff)
		}
	})
}
