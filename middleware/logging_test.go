package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/middleware"
)

// run runs h under Logging and returns the lines it logged, without their time.
func run(t *testing.T, ctx context.Context, h holdfast.HandlerFunc, m *holdfast.Message) ([]map[string]any, error) {
	t.Helper()
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	ended := make(chan struct{})
	go func() { // a goroutine of its own, because h may call Goexit
		defer close(ended)
		defer func() { _ = recover() }()
		err = holdfast.Chain(h, middleware.Logging(logger)).Handle(ctx, m)
	}()
	<-ended

	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		delete(fields, slog.TimeKey)
		lines = append(lines, fields)
	}
	return lines, err
}

func TestLoggingWritesOneLinePerRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &holdfast.Message{
			ID:         "7c9f",
			Body:       "the secret body",
			Attributes: map[string]holdfast.Attribute{"a": {Type: "String", String: "the secret attribute"}},
			GroupID:    "customer-1",
			Attempt:    3,
			SentAt:     time.Now().Add(-time.Minute),
			Queue:      holdfast.Queue{Name: "orders"},
		}
		slow := func(context.Context, *holdfast.Message) error {
			time.Sleep(1500 * time.Millisecond)
			return nil
		}
		got, err := run(t, t.Context(), slow, m)
		if err != nil {
			t.Fatal(err)
		}
		want := []map[string]any{{
			"level": "INFO", "msg": "message handled", "id": "7c9f", "queue": "orders", "group": "customer-1",
			"attempt": 3.0, "age": float64(61500 * time.Millisecond), "took": float64(1500 * time.Millisecond), "outcome": "done",
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

func TestLoggingClassifiesRuns(t *testing.T) {
	t.Parallel()
	because := errors.New("because")
	ended := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	tests := map[string]struct {
		ctx     context.Context
		do      func() error
		err     error
		outcome string
		level   string
	}{
		"no error is done":                       {outcome: "done", level: "INFO"},
		"an error is retried":                    {err: because, outcome: "retried", level: "WARN"},
		"RetryAfter is retried":                  {err: holdfast.RetryAfter(time.Second, because), outcome: "retried", level: "WARN"},
		"Discard is discarded":                   {err: holdfast.Discard(because), outcome: "discarded", level: "INFO"},
		"Permanent is dead-lettered":             {err: holdfast.Permanent(because), outcome: "dead-lettered", level: "ERROR"},
		"a wrapped verb is seen":                 {err: fmt.Errorf("charge: %w", holdfast.Permanent(because)), outcome: "dead-lettered", level: "ERROR"},
		"the outermost verb counts":              {err: holdfast.Discard(holdfast.Permanent(because)), outcome: "discarded", level: "INFO"},
		"Park is parked":                         {err: holdfast.Park(nil, because), outcome: "parked", level: "DEBUG"},
		"a lost lease leaves the message":        {err: fmt.Errorf("claim: %w", holdfast.ErrLeaseLost), outcome: "unsettled", level: "WARN"},
		"what comes after a lost lease too":      {ctx: ended(holdfast.ErrLeaseLost), err: holdfast.Permanent(because), outcome: "unsettled", level: "WARN"},
		"success after a lost lease too":         {ctx: ended(holdfast.ErrLeaseLost), outcome: "unsettled", level: "WARN"},
		"RetryAfter counts while stopping":       {ctx: ended(holdfast.ErrStopping), err: holdfast.RetryAfter(0, because), outcome: "retried", level: "WARN"},
		"an error while stopping gives back":     {ctx: ended(holdfast.ErrStopping), err: because, outcome: "gave back", level: "INFO"},
		"a verb counts while stopping":           {ctx: ended(holdfast.ErrStopping), err: holdfast.Discard(because), outcome: "discarded", level: "INFO"},
		"done counts while stopping":             {ctx: ended(holdfast.ErrStopping), outcome: "done", level: "INFO"},
		"a panic is logged and passed on":        {do: func() error { panic("boom") }, outcome: "panicked", level: "ERROR"},
		"runtime.Goexit is logged and passed on": {do: func() error { runtime.Goexit(); return nil }, outcome: "panicked", level: "ERROR"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			h := func(context.Context, *holdfast.Message) error {
				if tt.do != nil {
					return tt.do()
				}
				return tt.err
			}
			lines, err := run(t, ctx, h, &holdfast.Message{})
			if !errors.Is(err, tt.err) {
				t.Errorf("error = %v, want %v passed on", err, tt.err)
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines, want 1: %v", len(lines), lines)
			}
			want := map[string]any{"outcome": tt.outcome, "level": tt.level}
			if tt.err != nil {
				want["error"] = tt.err.Error()
			}
			got := map[string]any{}
			for _, key := range []string{"outcome", "level", "error"} {
				if v, ok := lines[0][key]; ok {
					got[key] = v
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
			if _, ok := lines[0]["age"]; ok {
				t.Errorf("an age without a time of sending: %v", lines[0])
			}
		})
	}
}

func TestLoggingKeepsToItsLevel(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	h := holdfast.Chain(holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { return nil }), middleware.Logging(logger))
	if err := h.Handle(t.Context(), &holdfast.Message{}); err != nil {
		t.Fatal(err)
	}
	if out.Len() != 0 {
		t.Errorf("logged %q below the logger's level", &out)
	}
}

func TestLoggingNeedsALogger(t *testing.T) {
	t.Parallel()
	if err := validate(t, middleware.Logging(nil)); err == nil || !strings.Contains(err.Error(), "logger is nil") {
		t.Errorf("Validate = %v, want one that says that logger is nil", err)
	}
	if err := validate(t, middleware.Logging(slog.New(slog.DiscardHandler))); err != nil {
		t.Errorf("Validate = %v, want nil", err)
	}
}

func validate(t *testing.T, m holdfast.Middleware) error {
	t.Helper()
	v, ok := m.(holdfast.Validator)
	if !ok {
		t.Fatalf("%T is no holdfast.Validator", m)
	}
	return v.Validate()
}
