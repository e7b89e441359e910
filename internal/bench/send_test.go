package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

func TestMeasureSend(t *testing.T) {
	t.Parallel()
	// The requests under way at the edges of what is measured may count or not.
	for name, requests := range map[string][2]float64{"raw": {0.07, 0.3}, "holdfast": {0.07, 0.3}, "one by one": {0.8, 1.2}} {
		t.Run(name+" sends each message once", func(t *testing.T) {
			t.Parallel()
			c, err := measureSend(t.Context(), spawn(t), name, workload{messages: 2000})
			if err != nil {
				t.Fatal(err)
			}
			if c.requests < requests[0] || c.requests > requests[1] || c.cpu <= 0 || c.allocs <= 0 || c.rate <= 0 {
				t.Errorf("cost %+v, want %v requests and all else above 0", c, requests)
			}
		})
	}
	t.Run("a side whose messages fail fails", func(t *testing.T) {
		t.Parallel()
		broken := errors.New("broken")
		target := spawn(t)
		s := sending{send: func(context.Context, string) error { return broken }, close: func() error { return nil }}
		if _, err := trySend(t.Context(), target, s, workload{messages: 2000}); !errors.Is(err, broken) {
			t.Errorf("error %v, want that of the side", err)
		}
		s.send = func(context.Context, string) error { return nil }
		if _, err := trySend(t.Context(), target, s, workload{messages: 2000}); err == nil || !strings.Contains(err.Error(), "of 2000 messages the stub has 0") {
			t.Errorf("error %v, want one that tells of messages that were not sent", err)
		}
	})
}

func TestSendReport(t *testing.T) {
	t.Parallel()
	good := cost{cpu: 1.1, rate: 5}
	for want, r := range map[string]sendReport{
		"bounds: all met": {raw: [2]cost{good, good}, one: [2]cost{good, good}, added: 5 * time.Millisecond},
		"bounds missed: cpu at 10 ms 1.200 > 1.15\n":     {raw: [2]cost{good, {cpu: 1.2}}, one: [2]cost{good, good}},
		"bounds missed: rate at 0 ms 3.00 times one by":  {raw: [2]cost{good, good}, one: [2]cost{{rate: 3}, good}},
		"bounds missed: a message alone waits 7ms > 5ms": {raw: [2]cost{good, good}, one: [2]cost{good, good}, added: 7 * time.Millisecond},
	} {
		var out bytes.Buffer
		r.print(&out)
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "\nsend/raw cpu=") {
			t.Errorf("report %q, want %q in it", out.String(), want)
		}
	}
}

func TestAddedLatency(t *testing.T) {
	t.Parallel()
	target := spawn(t)
	if _, err := addedLatency(t.Context(), target, 3); err != nil {
		t.Fatal(err)
	}
	counts, err := target.Counts(t.Context())
	if err != nil || counts != (stub.Counts{Sent: 6, SendBatch: 3, Other: counts.Other, Connections: counts.Connections}) {
		t.Errorf("counts %+v, %v; want 3 messages each way", counts, err)
	}
}
