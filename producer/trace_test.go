package producer_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

const (
	parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	xray   = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
)

// traced is what came with a message: traceparent, tracestate and AWSTraceHeader.
type traced struct{ Parent, State, Header string }

// traces receives all messages of a queue by the real runtime and tells their
// traces, by body.
func traces(t *testing.T, srv *sqstest.Server, q *sqstest.Queue, n int) map[string]traced {
	t.Helper()
	got := make(chan *holdfast.Message, n)
	c, err := consumer.New(srv.SQS(), q.URL, holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		got <- m
		return nil
	}), consumer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	all := make(map[string]traced)
	for range n {
		select {
		case m := <-got:
			all[m.Body] = traced{m.Attr("traceparent"), m.Attr("tracestate"), m.TraceHeader}
		case <-time.After(time.Minute):
			t.Errorf("not all of %d messages came", n)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return all
}

func TestTraces(t *testing.T) {
	t.Parallel()
	t.Run("of a message go with it, as far as there is room among ten attributes", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			p := to(t, srv, q, producer.Config{})
			trace := producer.Trace{AWSTraceHeader: xray, TraceParent: parent, TraceState: "a=1"}
			if _, err := p.SendBatch(t.Context(), []producer.Message{
				{Body: "8", Attributes: attributes(8), Trace: trace}, {Body: "9", Attributes: attributes(9), Trace: trace},
				{Body: "8+key", Attributes: attributes(8), Key: "k", Trace: trace}, {Body: "10", Attributes: attributes(10), Trace: trace}, {Body: "none"},
			}); err != nil {
				t.Fatal(err)
			}
			want := map[string]traced{"8": {parent, "a=1", xray}, "9": {parent, "", xray}, "8+key": {parent, "", xray}, "10": {"", "", xray}, "none": {}}
			if diff := cmp.Diff(want, traces(t, srv, q, 5)); diff != "" {
				t.Errorf("traces (-want +got):\n%s", diff)
			}
			if n := p.Stats().TracesDropped; n != 1 {
				t.Errorf("%d traces were dropped, want 1", n)
			}
		})
	})
	t.Run("of the message that a handler works on go with what it sends", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			in, out := srv.Queue(t, "orders"), srv.Queue(t, "invoices")
			p := to(t, srv, out, producer.Config{})
			in.Send(t, "x", sqstest.TraceHeader(xray), sqstest.StringAttribute("traceparent", parent), sqstest.StringAttribute("tracestate", "a=1"))
			c, err := consumer.New(srv.SQS(), in.URL, holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
				return p.Send(ctx, producer.Message{Body: "invoice"})
			}), consumer.Config{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
			want := map[string]traced{"invoice": {parent, "a=1", xray}}
			if diff := cmp.Diff(want, traces(t, srv, out, 1)); diff != "" {
				t.Errorf("traces (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("that Config.Trace tells go with messages that have none; malformed ones are left out and counted", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			tell := producer.Trace{AWSTraceHeader: xray, TraceParent: parent, TraceState: "a=1"}
			p := to(t, srv, q, producer.Config{Trace: func(context.Context) producer.Trace { return tell }})
			send := func(m producer.Message) {
				if err := p.Send(t.Context(), m); err != nil {
					t.Errorf("%s: %v", m.Body, err)
				}
			}
			send(producer.Message{Body: "told"})
			send(producer.Message{Body: "own attribute", Attributes: map[string]holdfast.Attribute{"traceparent": text("mine")}})
			send(producer.Message{Body: "own", Trace: producer.Trace{AWSTraceHeader: "Root=1"}})
			tell = producer.Trace{AWSTraceHeader: "\x00", TraceParent: "nonsense", TraceState: "\x00"}
			send(producer.Message{Body: "malformed"})
			tell = producer.Trace{AWSTraceHeader: "Root=1\n", TraceParent: parent}
			send(producer.Message{Body: "half", Attributes: attributes(10)})
			want := map[string]traced{"told": {parent, "a=1", xray}, "own attribute": {"mine", "", xray}, "own": {"", "", "Root=1"}, "malformed": {}, "half": {}}
			if diff := cmp.Diff(want, traces(t, srv, q, 5)); diff != "" {
				t.Errorf("traces (-want +got):\n%s", diff)
			}
			if n := p.Stats().TracesDropped; n != 2 {
				t.Errorf("%d traces were dropped, want 2", n)
			}
		})
	})
	t.Run("of a message that cannot go on are left out of what its handler sends", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			topic, q := srv.Topic(t, "orders"), srv.Queue(t, "billing")
			topic.Subscribe(t, q, sqstest.Raw())
			p := toTopic(t, srv, topic)
			ctx := holdfast.NewContext(t.Context(), &holdfast.Message{TraceHeader: "Root=1\r\nX-Other: 1"}, nil)
			if err := p.Send(ctx, producer.Message{Body: "invoice"}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if diff := cmp.Diff(map[string]traced{"invoice": {}}, traces(t, srv, q, 1)); diff != "" {
				t.Errorf("traces (-want +got):\n%s", diff)
			}
		})
	})
	t.Run("of X-Ray go through a topic where all messages of a request have the same", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			topic, q := srv.Topic(t, "orders"), srv.Queue(t, "billing")
			topic.Subscribe(t, q, sqstest.Raw())
			p := toTopic(t, srv, topic)
			for _, msgs := range [][]producer.Message{
				{{Body: "a", Trace: producer.Trace{AWSTraceHeader: xray, TraceParent: parent}}, {Body: "b", Trace: producer.Trace{AWSTraceHeader: xray}}},
				{{Body: "c", Trace: producer.Trace{AWSTraceHeader: xray, TraceParent: parent}}, {Body: "d"}},
			} {
				if _, err := p.SendBatch(t.Context(), msgs); err != nil {
					t.Error(err)
				}
			}
			synctest.Wait()
			want := map[string]traced{"a": {parent, "", xray}, "b": {"", "", xray}, "c": {parent, "", ""}, "d": {}}
			if diff := cmp.Diff(want, traces(t, srv, q, 4)); diff != "" {
				t.Errorf("traces (-want +got):\n%s", diff)
			}
		})
	})
}

var traceParent = regexp.MustCompile(`^(?:00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|(?:0[1-9a-f]|[1-9a-e][0-9a-f]|f[0-9a-e])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-[0-9A-Za-z._-]*)?)$`)

func FuzzTraceParent(f *testing.F) {
	zeros := strings.Repeat("0", 32)
	for _, seed := range []string{
		"", parent, parent + "-", "01" + parent[2:] + "-more", "ff" + parent[2:], strings.ToUpper(parent), "00-" + zeros + parent[35:],
		parent[:36] + zeros[:16] + parent[52:], parent[:54], "é" + parent[2:],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := traceParent.MatchString(s) && s[3:35] != zeros && s[36:52] != zeros[:16]
		if got := producer.ValidTraceParent(s); got != want {
			t.Fatalf("%q is valid: %v, want %v", s, got, want)
		}
	})
}
