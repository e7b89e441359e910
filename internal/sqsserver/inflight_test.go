package sqsserver

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestTheDefaultLimitIsThatOfAWS takes 120,000 messages in flight: a short poll for more
// is refused, a long one comes back empty, and a delete makes room for one.
func TestTheDefaultLimitIsThatOfAWS(t *testing.T) {
	t.Parallel()
	const limit = 120_000
	s := New(Config{NoHistory: true, LogLimit: -1})
	arn, err := s.Create("q", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range limit + 5 {
		if _, err := s.Send(arn, Outgoing{Body: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	hold := time.Hour
	take := func() []received {
		s.lock()
		defer s.unlock()
		return s.byARN(arn).receive(&receiveRequest{max: 10, visibility: &hold}, time.Now())
	}
	var last received
	n := 0
	for got := take(); len(got) > 0; got = take() {
		n += len(got)
		last = got[len(got)-1]
	}
	if v, _ := s.Queue(arn); n != limit || v.Depth != (Depth{Visible: 5, InFlight: limit}) {
		t.Fatalf("received %d, %+v", n, v.Depth)
	}
	none := 0
	short := receiveMessage{QueueURL: "q", WaitTimeSeconds: &none}
	var refused *Error
	c := &call{ctx: context.Background(), id: s.identify(""), action: "ReceiveMessage"}
	if err := short.serve(s, c, &jsonWriter{}); !errors.As(err, &refused) || refused.Shape != "OverLimit" {
		t.Errorf("a short poll: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.ctx = ctx
	long, w := receiveMessage{QueueURL: "q", WaitTimeSeconds: new(int)}, &jsonWriter{}
	*long.WaitTimeSeconds = 20
	if err := long.serve(s, c, w); !errors.Is(err, context.Canceled) { // it waits, and is refused nothing
		t.Errorf("a long poll: %v", err)
	}
	s.lock()
	refused = s.byARN(arn).delete(&last.handle, time.Now())
	s.unlock()
	if got := take(); refused != nil || len(got) != 1 {
		t.Errorf("after a delete (%v): %d messages", refused, len(got))
	}
}
