package claimcheck_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/claimcheck"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// inBubble runs a test in virtual time; a goroutine left behind fails it.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// bucket is a Memory whose calls can fail, and are written down.
type bucket struct {
	claimcheck.Memory
	mu    sync.Mutex // guards all below
	fails map[string]error
	calls []string
}

func (b *bucket) call(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, name)
	return b.fails[name]
}

func (b *bucket) count(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, c := range b.calls {
		if c == name {
			n++
		}
	}
	return n
}

func (b *bucket) fail(name string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails = map[string]error{name: err}
}

// put is another program's PutObject.
func (b *bucket) put(t *testing.T, bucket, key, body string) {
	t.Helper()
	if _, err := b.Memory.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if err := b.call("put"); err != nil {
		return nil, err
	}
	return b.Memory.PutObject(ctx, in, o...)
}

func (b *bucket) GetObject(ctx context.Context, in *s3.GetObjectInput, o ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if err := b.call("get"); err != nil {
		return nil, err
	}
	return b.Memory.GetObject(ctx, in, o...)
}

func (b *bucket) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput, o ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	if err := b.call("delete"); err != nil {
		return nil, err
	}
	return b.Memory.DeleteObject(ctx, in, o...)
}

var errTest = errors.New("test failure")

func newStore(t *testing.T, b *bucket, change ...func(*claimcheck.Config)) *claimcheck.Store {
	t.Helper()
	cfg := claimcheck.Config{Bucket: "payloads", Prefix: "orders/"}
	for _, c := range change {
		c(&cfg)
	}
	s, err := claimcheck.New(b, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send sends messages to a queue or topic by way of a store.
func send(t *testing.T, client any, target string, s producer.Offloader, msgs ...producer.Message) error {
	t.Helper()
	p, err := producer.New(client, target, producer.Config{Offload: s})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	_, err = p.SendBatch(t.Context(), msgs)
	return err
}

// work runs a consumer until its queue is empty, and returns what handlers saw.
func work(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, s *claimcheck.Store, result error, outer ...holdfast.Middleware) []holdfast.Message {
	t.Helper()
	var mu sync.Mutex
	var list []holdfast.Message
	c, err := consumer.New(srv.SQS(), q.URL, holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, *m)
		return result
	}), consumer.Config{Middleware: append(outer, s)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	for range 600 {
		if q.Depth() == (sqstest.Depth{}) {
			break
		}
		time.Sleep(time.Second)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	return list
}

var large = strings.Repeat("large ", 200_000)

func TestLargePayloads(t *testing.T) {
	t.Parallel()
	t.Run("go to the bucket, reach the handler, and are deleted with their message", thereAndBack)
	t.Run("are kept when the message is dead-lettered, and found after a redrive", keptWhenDead)
	t.Run("are not deleted before the message is", deletedAfterMessage)
	t.Run("of a topic reach all queues and are deleted by none", throughTopic)
	t.Run("without a store are refused before anything is sent", withoutStore)
	t.Run("that cannot be put are an error before anything is sent", cannotPut)
	t.Run("sent twice with one key are done once", sentTwice)
	t.Run("sent to two queues with one key are an object for each", toTwoQueues)
	t.Run("that cannot be fetched now are tried again", fetchedLater)
	t.Run("that are gone, too large or not the store's dead-letter their message", neverFetched)
	t.Run("are read from pointers of AWS's clients", pointersOfAWS)
	t.Run("are told by their names under any prefix", anyPrefix)
	t.Run("that AWS's SNS client published raw to two queues are deleted by neither", rawFromAWS)
}

func thereAndBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, name := range []string{"orders", "orders.fifo"} {
			srv, b := sqstest.New(t), &bucket{}
			q, s := srv.Queue(t, name), newStore(t, b)
			small := producer.Message{Body: "small", GroupID: "g", Attributes: map[string]holdfast.Attribute{"a": {Type: "String", String: "b"}}}
			big := small
			big.Body = large
			if err := send(t, srv.SQS(), q.URL, s, small, big); err != nil {
				t.Fatal(err)
			}
			objects := b.Objects()
			if len(objects) != 1 || !strings.HasPrefix(objects[0], "payloads/orders/") {
				t.Fatalf("objects are %v, want one", objects)
			}
			sent := q.Messages()[1]
			want := `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"payloads","s3Key":"` + strings.TrimPrefix(objects[0], "payloads/") + `"}]`
			if sent.Body != want || sent.Attributes["ExtendedPayloadSize"].Type != "Number" || sent.Attributes["ExtendedPayloadSize"].Text != fmt.Sprint(len(large)) {
				t.Errorf("sent was %q with %+v, want %q", sent.Body, sent.Attributes, want)
			}
			list := work(t, srv, q, s, nil)
			slices.SortFunc(list, func(a, b holdfast.Message) int { return len(a.Body) - len(b.Body) })
			if len(list) != 2 || list[0].Body != "small" || list[1].Body != large {
				t.Fatalf("%d runs, want two with the bodies as they were sent", len(list))
			}
			attributes := map[string]holdfast.Attribute{"a": {Type: "String", String: "b"}, "claimcheck-pointer": {Type: "String", String: want}}
			if diff := cmp.Diff(attributes, list[1].Attributes); diff != "" {
				t.Errorf("attributes (-want +got):\n%s", diff)
			}
			if left := b.Objects(); len(left) != 0 {
				t.Errorf("objects left: %v", left)
			}
		}
	})
}

func keptWhenDead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		q, s := srv.Queue(t, "orders", sqstest.DLQ(3)), newStore(t, b)
		if err := send(t, srv.SQS(), q.URL, s, producer.Message{Body: large}); err != nil {
			t.Fatal(err)
		}
		if list := work(t, srv, q, s, holdfast.Permanent(errTest)); len(list) != 1 || len(b.Objects()) != 1 {
			t.Errorf("%d runs, objects %v; want one of each", len(list), b.Objects())
		}
		if list := work(t, srv, q.DLQ(), s, nil); len(list) != 1 || list[0].Body != large || len(b.Objects()) != 0 {
			t.Errorf("from the dead-letter queue: %d runs, objects %v", len(list), b.Objects())
		}
	})
}

func deletedAfterMessage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		q, s := srv.Queue(t, "orders"), newStore(t, b)
		if err := send(t, srv.SQS(), q.URL, s, producer.Message{Body: large}); err != nil {
			t.Fatal(err)
		}
		refused := srv.Fail("DeleteMessageBatch", sqstest.Throttle)
		time.AfterFunc(10*time.Second, func() {
			if b.count("delete") != 0 || len(b.Objects()) != 1 {
				t.Error("the object is gone though SQS has not deleted the message")
			}
			refused.Stop()
		})
		if list := work(t, srv, q, s, nil); len(list) != 1 || len(b.Objects()) != 0 || refused.Hits() == 0 {
			t.Errorf("%d runs, objects %v", len(list), b.Objects())
		}
		keep := newStore(t, b, func(c *claimcheck.Config) { c.Keep = true })
		if err := send(t, srv.SQS(), q.URL, keep, producer.Message{Body: large}); err != nil {
			t.Fatal(err)
		}
		if work(t, srv, q, keep, nil); len(b.Objects()) != 1 {
			t.Errorf("with Keep objects are %v, want one", b.Objects())
		}
	})
}

func throughTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		topic, s := srv.Topic(t, "orders"), newStore(t, b)
		raw, wrapped := srv.Queue(t, "raw"), srv.Queue(t, "wrapped")
		topic.Subscribe(t, raw, sqstest.Raw())
		topic.Subscribe(t, wrapped)
		if err := send(t, srv.SNS(), topic.ARN, s, producer.Message{Body: large, Key: "k"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, q := range []*sqstest.Queue{raw, wrapped} {
			if list := work(t, srv, q, s, nil); len(list) != 1 || list[0].Body != large {
				t.Errorf("queue %s: %d runs", q.Name, len(list))
			}
		}
		if len(b.Objects()) != 1 || b.count("delete") != 0 {
			t.Errorf("objects %v after %d deletes, want it kept", b.Objects(), b.count("delete"))
		}
	})
}

func withoutStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		err := send(t, srv.SQS(), q.URL, nil, producer.Message{Body: large})
		if bad := (*producer.MessageError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "set Config.Offload to keep larger ones elsewhere (package claimcheck)") {
			t.Errorf("error %v, want one that says what to do", err)
		}
		if n := srv.Calls("SendMessageBatch"); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func cannotPut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		q := srv.Queue(t, "orders")
		b.fail("put", errTest)
		if err := send(t, srv.SQS(), q.URL, newStore(t, b), producer.Message{Body: large}); !errors.Is(err, errTest) {
			t.Errorf("error %v, want that of the bucket", err)
		}
		small := newStore(t, b, func(c *claimcheck.Config) { c.MaxBytes = 1000 })
		if err := send(t, srv.SQS(), q.URL, small, producer.Message{Body: large}); !errors.Is(err, claimcheck.ErrTooLarge) {
			t.Errorf("error %v, want ErrTooLarge", err)
		}
		many := producer.Message{Body: large, Attributes: make(map[string]holdfast.Attribute)}
		for i := range 10 {
			many.Attributes[fmt.Sprint("a", i)] = holdfast.Attribute{Type: "String", String: "x"}
		}
		if err := send(t, srv.SQS(), q.URL, newStore(t, &bucket{}), many); err == nil || !strings.Contains(err.Error(), "Attributes is 10; it must be at most 9") {
			t.Errorf("error %v, want one that tells of the attribute that has no room", err)
		}
		puts := b.count("put")
		if err := send(t, srv.SQS(), q.URL, newStore(t, b), producer.Message{Body: "x", Key: large}); err == nil || b.count("put") != puts {
			t.Errorf("a large key: error %v after %d puts, want one before", err, b.count("put")-puts)
		}
		if n := srv.Calls("SendMessageBatch"); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// The pointer of a message with a key is the same each time, so that idempotency,
// which is outside, knows a duplicate and does not take it for another payload.
func sentTwice(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		q, s := srv.Queue(t, "orders", sqstest.DLQ(10)), newStore(t, b)
		once := idempotency.New(idempotency.NewMemoryStore(), idempotency.Config{Consumer: "orders", KeyAttribute: producer.KeyAttribute})
		runs := 0
		for range 3 {
			if err := send(t, srv.SQS(), q.URL, s, producer.Message{Body: large, Key: "o-1"}); err != nil {
				t.Fatal(err)
			}
			runs += len(work(t, srv, q, s, nil, once))
		}
		if dead := q.DLQ().Messages(); runs != 1 || len(dead) != 0 || len(b.Objects()) != 0 || b.count("get") != 1 {
			t.Errorf("%d runs, %d dead-lettered, objects %v, %d fetched; want it done and fetched once", runs, len(dead), b.Objects(), b.count("get"))
		}
		if err := send(t, srv.SQS(), q.URL, s, producer.Message{Body: large + "!", Key: "o-1"}); err != nil {
			t.Fatal(err)
		}
		if list := work(t, srv, q, s, nil, once); len(list) != 0 || len(q.DLQ().Messages()) != 1 {
			t.Errorf("another payload under the key: %d runs, %d dead-lettered", len(list), len(q.DLQ().Messages()))
		}
	})
}

// Each queue deletes its own object. However a queue is named, it is the same one.
func toTwoQueues(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		s, queues := newStore(t, b), []*sqstest.Queue{srv.Queue(t, "billing", sqstest.DLQ(3)), srv.Queue(t, "shipping", sqstest.DLQ(3))}
		for i, q := range queues {
			for _, name := range []string{q.URL, q.ARN, q.Name} {
				if err := send(t, srv.SQS(), name, s, producer.Message{Body: large, Key: "o-1"}); err != nil {
					t.Fatal(err)
				}
				if n := len(b.Objects()); n != i+1 {
					t.Errorf("sent to %s: objects are %v, want %d", name, b.Objects(), i+1)
				}
			}
		}
		store := idempotency.NewMemoryStore()
		for _, q := range queues {
			once := idempotency.New(store, idempotency.Config{Consumer: q.Name, KeyAttribute: producer.KeyAttribute})
			if list := work(t, srv, q, s, nil, once); len(list) != 1 || len(q.DLQ().Messages()) != 0 {
				t.Errorf("%s: %d runs, dead-lettered %+v; want it done once", q.Name, len(list), q.DLQ().Messages())
			}
		}
		if left := b.Objects(); len(left) != 0 {
			t.Errorf("objects left: %v", left)
		}
	})
}

func fetchedLater(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, b := sqstest.New(t), &bucket{}
		q, s := srv.Queue(t, "orders", sqstest.DLQ(100)), newStore(t, b)
		if err := send(t, srv.SQS(), q.URL, s, producer.Message{Body: large}); err != nil {
			t.Fatal(err)
		}
		b.fail("get", errTest)
		time.AfterFunc(10*time.Second, func() { b.fail("none", nil) })
		if list := work(t, srv, q, s, nil); len(list) != 1 || list[0].Body != large || list[0].Attempt < 2 {
			t.Errorf("%d runs, want one after a failed fetch", len(list))
		}
	})
}

func neverFetched(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			body string
			want error
		}{
			"gone":            {`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"payloads","s3Key":"orders/none"}]`, claimcheck.ErrGone},
			"another bucket":  {`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"secrets","s3Key":"orders/big"}]`, claimcheck.ErrPointer},
			"another prefix":  {`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"payloads","s3Key":"big"}]`, claimcheck.ErrPointer},
			"larger than all": {`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"payloads","s3Key":"orders/big"}]`, claimcheck.ErrTooLarge},
		} {
			srv, b := sqstest.New(t), &bucket{}
			q, s := srv.Queue(t, "orders", sqstest.DLQ(10)), newStore(t, b, func(c *claimcheck.Config) { c.MaxBytes = 10 })
			for _, at := range [][2]string{{"payloads", "orders/big"}, {"payloads", "big"}, {"secrets", "orders/big"}} {
				b.put(t, at[0], at[1], "more than ten bytes")
			}
			q.Send(t, tt.body, sqstest.NumberAttribute("ExtendedPayloadSize", "5"))
			list := work(t, srv, q, s, nil)
			dead := q.DLQ().Messages()
			if len(list) != 0 || len(dead) != 1 || !strings.Contains(dead[0].Attributes["holdfast-cause"].Text, strings.TrimPrefix(tt.want.Error(), "claimcheck: ")) {
				t.Errorf("%s: %d runs, dead-lettered %+v; want one for %v", name, len(list), dead, tt.want)
			}
			if len(b.Objects()) != 3 {
				t.Errorf("%s: objects %v, want all three", name, b.Objects())
			}
		}
	})
}

func pointersOfAWS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for class, attribute := range map[string]string{
			"software.amazon.payloadoffloading.PayloadS3Pointer": "ExtendedPayloadSize",
			"com.amazon.sqs.javamessaging.MessageS3Pointer":      "SQSLargePayloadSize",
		} {
			for _, deletes := range []bool{false, true} {
				srv, b := sqstest.New(t), &bucket{}
				q, s := srv.Queue(t, "orders"), newStore(t, b, func(c *claimcheck.Config) {
					c.Prefix, c.Buckets, c.DeleteForeign = "", []string{"theirs"}, deletes
				})
				// The second name begins like one of a Store.
				for _, key := range []string{"c5a9e9a2-2c1f-4d4b-8a3c-7b0f9c2f1e11", "queue-c5a9e9a2-2c1f-4d4b-8a3c-7b0f9c2f1e11"} {
					b.put(t, "theirs", key, "theirs")
					q.Send(t, `["`+class+`",{"s3BucketName":"theirs","s3Key":"`+key+`"}]`, sqstest.NumberAttribute(attribute, "6"))
				}
				list := work(t, srv, q, s, nil)
				want := 2
				if deletes {
					want = 0
				}
				if len(list) != 2 || list[0].Body != "theirs" || len(list[0].Attributes) != 1 || len(b.Objects()) != want {
					t.Errorf("%s, DeleteForeign %v: handlers saw %+v, objects %v", class, deletes, list, b.Objects())
				}
			}
		}
	})
}

// With some of these prefixes a shared name looks like one for a queue, or the other way
// about. A reader that knows no prefix deletes what is surely a queue's.
func anyPrefix(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, tt := range []struct {
			prefix, reader string
			deletes        bool // what is for one queue
		}{
			{"", "", true},
			{"orders/", "orders/", true},
			{"orders/", "", true},
			{"orders-", "orders-", true},
			{"orders-", "", false},
			{"queue-production", "queue-production", true},
			{"queue-production", "", false},
			{"queue-production", "queue-", false},
			{"shared-productions", "shared-productions", true},
			{"shared-productions", "", false},
			{"shared-/", "", true},
		} {
			for _, key := range []string{"", "o-1"} {
				b := &bucket{}
				writer := newStore(t, b, func(c *claimcheck.Config) { c.Prefix = tt.prefix })
				reader := newStore(t, b, func(c *claimcheck.Config) { c.Prefix = tt.reader })
				var sent []*holdfast.Message
				for _, topic := range []string{"", "arn:aws:sns:us-east-1:000000000000:orders"} {
					m := &holdfast.Message{Body: large, Topic: holdfast.Topic{ARN: topic}}
					if key != "" {
						m.Attributes = map[string]holdfast.Attribute{producer.KeyAttribute: {Type: "String", String: key}}
					}
					if err := writer.Offload(t.Context(), m); err != nil {
						t.Fatal(err)
					}
					sent = append(sent, &holdfast.Message{Body: m.Body, Attributes: m.Attributes}) // as delivered raw
				}
				for _, m := range sent {
					reader.Settled(m, nil)
				}
				if err := reader.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				left := b.Objects()
				shared := slices.ContainsFunc(left, func(name string) bool { return strings.Contains(sent[1].Body, strings.TrimPrefix(name, "payloads/")) })
				if !shared || (len(left) == 1) != tt.deletes {
					t.Errorf("prefix %q, reader's %q, key %q: left are %v; want the shared one kept, the other deleted: %v", tt.prefix, tt.reader, key, left, tt.deletes)
				}
			}
		}
	})
}

// Delivered raw, nothing tells a queue that the message came by a topic. What a Store
// put for a topic is told by its name, also where foreign objects are deleted and by a
// store that knows no prefix.
func rawFromAWS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, foreign := range []bool{true, false} {
			srv, b := sqstest.New(t), &bucket{}
			topic, queues := srv.Topic(t, "orders"), []*sqstest.Queue{srv.Queue(t, "billing", sqstest.DLQ(3)), srv.Queue(t, "shipping", sqstest.DLQ(3))}
			for _, q := range queues {
				topic.Subscribe(t, q, sqstest.Raw())
			}
			reader := newStore(t, b, func(c *claimcheck.Config) { c.Prefix, c.DeleteForeign = "", !foreign })
			m := producer.Message{Body: large, Key: "o-1"}
			if foreign {
				b.put(t, "payloads", "orders/c5a9e9a2-2c1f-4d4b-8a3c-7b0f9c2f1e11", large)
				m.Body = `["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"payloads","s3Key":"orders/c5a9e9a2-2c1f-4d4b-8a3c-7b0f9c2f1e11"}]`
				m.Attributes = map[string]holdfast.Attribute{"ExtendedPayloadSize": {Type: "Number", String: fmt.Sprint(len(large))}}
			}
			if err := send(t, srv.SNS(), topic.ARN, newStore(t, b), m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, q := range queues {
				if list := work(t, srv, q, reader, nil); len(list) != 1 || list[0].Body != large || len(q.DLQ().Messages()) != 0 {
					t.Errorf("foreign %v, %s: %d runs, dead-lettered %+v", foreign, q.Name, len(list), q.DLQ().Messages())
				}
			}
			if len(b.Objects()) != 1 {
				t.Errorf("foreign %v: objects %v, want it kept", foreign, b.Objects())
			}
		}
	})
}

func TestStoreConfiguration(t *testing.T) {
	t.Parallel()
	if _, err := claimcheck.New(&claimcheck.Memory{}, claimcheck.Config{Bucket: "payloads", MaxBytes: 2 << 30, Prefix: strings.Repeat("p", 512)}); err != nil {
		t.Error(err)
	}
	var none *s3.Client
	_, err := claimcheck.New(none, claimcheck.Config{Bucket: "A", Buckets: []string{"ok-1", "no_"}, Prefix: strings.Repeat("p", 513), MaxBytes: -1})
	want := `claimcheck: client is nil; it must be an S3API, such as *s3.Client
claimcheck: Bucket is "A"; it must be 3 to 63 lower-case letters, digits, '.' and '-'
claimcheck: Buckets[1] is "no_"; it must be 3 to 63 lower-case letters, digits, '.' and '-'
claimcheck: Prefix is 513 bytes long; it must be at most 512
claimcheck: MaxBytes is -1; it must be 1 to 2147483648`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		hung := &hanging{}
		s, err := claimcheck.New(hung, claimcheck.Config{Bucket: "payloads"})
		if err != nil {
			t.Fatal(err)
		}
		m := &holdfast.Message{Body: "x"}
		if err := s.Offload(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		s.Settled(m, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 objects") {
			t.Errorf("error %v, want one that tells of the object", err)
		}
		if err := s.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// hanging deletes nothing until the context ends.
type hanging struct{ claimcheck.Memory }

func (*hanging) DeleteObject(ctx context.Context, _ *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
