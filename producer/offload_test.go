package producer_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// larges makes n messages with the bodies "large 0" to "large n-1".
func larges(n int) []producer.Message {
	msgs := texts(n)
	for i := range msgs {
		msgs[i].Body = "large " + msgs[i].Body
	}
	return msgs
}

// depot is an Offloader that leaves bodies as they are, after a while.
type depot struct {
	wait func(body string) time.Duration

	mu        sync.Mutex // guards all below
	now, most int        // calls under way
}

func (d *depot) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now += n
	d.most = max(d.most, d.now)
}

func (d *depot) Offload(ctx context.Context, m *holdfast.Message) error {
	d.count(1)
	defer d.count(-1)
	select {
	case <-time.After(d.wait(m.Body)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestOffload(t *testing.T) {
	t.Parallel()
	t.Run("of a batch runs as many at once as Concurrency, and each has its Timeout", offloadsAtOnce)
	t.Run("of a batch keeps its order", offloadsInOrder)
	t.Run("of a batch ends with its context", offloadsUntilCancelled)
	t.Run("is not begun for what is refused all the same", offloadsNothingInVain)
	t.Run("that panics does so to the sender of the batch", offloadPanics)
}

func offloadsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		d := &depot{wait: func(string) time.Duration { return 100 * time.Millisecond }}
		p := to(t, srv, q, producer.Config{Offload: d, OffloadAbove: 1, Concurrency: 10, Timeout: time.Second})
		spent := took(func() {
			if _, err := p.SendBatch(t.Context(), larges(300)); err != nil {
				t.Error(err)
			}
		})
		if n := len(counts(q)); spent < 3*time.Second || spent > 4*time.Second || d.most != 10 || n != 300 {
			t.Errorf("%d messages in %v, at most %d at once; want 300 in 3 s, 10 at once", n, spent, d.most)
		}
	})
}

// Those behind are ready before those ahead, some are small and some are refused.
func offloadsInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo")
		random := rand.New(rand.NewPCG(1, 2))
		d := &depot{}
		d.wait = func(string) time.Duration {
			d.mu.Lock()
			defer d.mu.Unlock()
			return time.Duration(random.IntN(1000)) * time.Millisecond
		}
		drops := producer.MiddlewareFunc(func(next producer.Sender) producer.Sender {
			return producer.SenderFunc(func(ctx context.Context, m *producer.Message) error {
				if m.Subject == "drop" {
					return nil
				}
				return next.Send(ctx, m)
			})
		})
		for _, middleware := range [][]producer.Middleware{nil, {drops}} {
			p := to(t, srv, q, producer.Config{Offload: d, OffloadAbove: 100, Middleware: middleware})
			srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Probability(0.2, 1))
			msgs := inGroups(120, 2)
			var want []string
			for i := range msgs {
				switch i % 6 {
				case 0:
					msgs[i].Subject = "drop" // which a queue refuses
				case 1, 2, 3:
					msgs[i].Body += strings.Repeat("x", 100)
				}
				if i%6 != 0 && i%2 == 0 {
					want = append(want, msgs[i].Body)
				}
			}
			before := len(bodies(q))
			results, err := p.SendBatch(t.Context(), msgs)
			for i, r := range results {
				if (i%6 == 0) != (r.MessageID == "") {
					t.Errorf("result %d is %+v", i, r)
				}
			}
			if failed := (*producer.BatchError)(nil); middleware == nil && (!errors.As(err, &failed) || failed.Failed != 20) {
				t.Errorf("error %v, want 20 that are refused", err)
			}
			var got []string
			for _, b := range bodies(q)[before:] {
				if strings.HasPrefix(b, "g0:") {
					got = append(got, b)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("group g0 (-want +got):\n%s", diff)
			}
		}
	})
}

func offloadsUntilCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		p := to(t, srv, q, producer.Config{Offload: &depot{wait: func(string) time.Duration { return time.Second }}, OffloadAbove: 1, Concurrency: 10})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, errTest)
		defer cancel()
		var results []producer.Result
		if spent := took(func() { results, _ = p.SendBatch(ctx, larges(100)) }); spent != 1500*time.Millisecond {
			t.Errorf("it took %v, want it to end with its context", spent)
		}
		for i, r := range results {
			if (i < 10) != (r.Err == nil) || i >= 10 && !errors.Is(r.Err, errTest) {
				t.Errorf("result %d is %+v, want the first ten sent and the others to tell of the context", i, r)
			}
		}
	})
}

func offloadPanics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		d := &depot{wait: func(body string) time.Duration {
			if body == "large 3" {
				panic(errTest)
			}
			return time.Second
		}}
		p := to(t, srv, q, producer.Config{Offload: d, OffloadAbove: 1})
		var got any
		spent := took(func() {
			defer func() { got = recover() }()
			_, _ = p.SendBatch(t.Context(), larges(100))
		})
		if n := len(bodies(q)); got != errTest || spent < time.Second || n < 3 || n > 16 {
			t.Errorf("panic %v after %v with %d messages sent; want that of the Offloader after those under way", got, spent, n)
		}
	})
}

func offloadsNothingInVain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			m    producer.Message
			want []string // nil: accepted
			puts int
		}{
			"a small body beside a large key": {
				producer.Message{Body: "x", Key: strings.Repeat("k", 3000)},
				[]string{"Attributes is 3021 bytes with those of Key, ContentType and Trace; it must be at most 1024 bytes, where the body is too large and put elsewhere"}, 0,
			},
			"a large body without room for a pointer": {
				producer.Message{Body: strings.Repeat("x", 2000), Key: strings.Repeat("k", 1004)},
				[]string{"Attributes is 1025 bytes with those of Key, ContentType and Trace; it must be at most 1024 bytes, where the body is too large and put elsewhere"}, 0,
			},
			"a large body with room for one":        {producer.Message{Body: strings.Repeat("x", 2000), Key: strings.Repeat("k", 1003)}, nil, 1},
			"what fits as it is":                    {producer.Message{Body: "x", Key: strings.Repeat("k", 1500)}, nil, 0},
			"ten attributes and what fits as it is": {producer.Message{Body: strings.Repeat("x", 1500), Attributes: attributes(10)}, nil, 0},
			"nine attributes and a large body":      {producer.Message{Body: strings.Repeat("x", 1500), Attributes: attributes(9)}, nil, 1},
			"ten attributes": {
				producer.Message{Body: strings.Repeat("x", 3000), Attributes: attributes(10)},
				[]string{"Attributes is 10; it must be at most 9 with those of Key and ContentType, where the body is too large and put elsewhere"}, 0,
			},
		} {
			srv := sqstest.New(t)
			puts := 0
			away := offloader(func(m *holdfast.Message) {
				puts++
				m.Body = "pointer"
			})
			p := to(t, srv, srv.Queue(t, "orders"), producer.Config{Offload: away, OffloadAbove: 100, MaxMessageBytes: 2048})
			err := p.Send(t.Context(), tt.m)
			if diff := cmp.Diff(tt.want, faults(err)); diff != "" || (err == nil) != (tt.want == nil) || puts != tt.puts {
				t.Errorf("%s: %d puts, error %v; faults (-want +got):\n%s", name, puts, err, diff)
			}
		}
	})
}

type offloader func(m *holdfast.Message)

func (f offloader) Offload(_ context.Context, m *holdfast.Message) error {
	f(m)
	return nil
}
