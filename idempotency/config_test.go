package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

func TestConfigIsValidated(t *testing.T) {
	t.Parallel()
	store := idempotency.NewMemoryStore()
	t.Run("all problems are named at once, with field, value and bound", func(t *testing.T) {
		t.Parallel()
		err := idempotency.New(nil, idempotency.Config{
			Consumer: "a:b", Prefix: "{x}", KeyAttribute: strings.Repeat("k", 257),
			DoneTTL: time.Second, PostDeleteTTL: 2 * time.Second, RecordTTL: -1, Margin: time.Millisecond, StoreTimeout: time.Minute,
		}).Validate()
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{
			"store is nil",
			`Config.Consumer is "a:b", must be 1 to 64`,
			`Config.Prefix is "{x}", must be 1 to 64`,
			"Config.KeyAttribute is 257 characters long, must be at most 256",
			"Config.DoneTTL is 1s, must be 0 or at least 1m",
			"Config.PostDeleteTTL is 2s, must be 0 or at least 1m",
			"Config.PostDeleteTTL is 2s, must be less than DoneTTL (1s)",
			"Config.RecordTTL is -1ns, must be 0 or at least 1m",
			"Config.Margin is 1ms, must be 0 or at least 100ms",
			"Config.StoreTimeout is 1m0s, must be 10ms to 10s",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error does not say %q:\n%v", want, err)
			}
		}
	})
	t.Run("the consumer's name is required", func(t *testing.T) {
		t.Parallel()
		mw := idempotency.New(store, idempotency.Config{})
		err := mw.Validate()
		if err == nil || !strings.Contains(err.Error(), `Config.Consumer is "", must be set`) {
			t.Errorf("returned %v", err)
		}
		if got := mw.Wrap(nil).Handle(t.Context(), message()); got == nil || got.Error() != err.Error() {
			t.Errorf("the handler returned %v, want %v", got, err)
		}
		if got := mw.Start(t.Context(), holdfast.Queue{}); got == nil || got.Error() != err.Error() {
			t.Errorf("Start returned %v, want %v", got, err)
		}
	})
	t.Run("policies that contradict each other are refused", func(t *testing.T) {
		t.Parallel()
		for want, cfg := range map[string]idempotency.Config{
			"Config.MissingKey is DeriveKey, must be another":       {MissingKey: idempotency.DeriveKey},
			"Config.MissingKey is 3, must be RejectUnkeyed":         {MissingKey: 3},
			"Config.Source is an SNS envelope, must be 0 where Key": {Source: idempotency.SourceSNS, KeyAttribute: "k"},
			"Config.Source is 7, must be one of":                    {Source: 7},
			"Config.ReplayEpoch is 65 characters long, must be at":  {ReplayEpoch: strings.Repeat("e", 65)},
			"Config.Mismatch is 3, must be RejectMismatch":          {Mismatch: 3},
			"Config.Mismatch is 1, must be 0 with SkipPayloadCheck": {Mismatch: idempotency.RunMismatch, SkipPayloadCheck: true},
			"Config.MaxAttempts is -1, must be 0 to 1,000":          {MaxAttempts: -1},
			"Config.Poison is 2, must be Explicit or Native":        {Poison: 2},
			"Config.Mode is 2, must be Enforce or Observe":          {Mode: 2},
			"Config.LocalDone is -2, must be -1 to 10,000,000":      {LocalDone: -2},
		} {
			cfg.Consumer = "c"
			if err := idempotency.New(store, cfg).Validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("returned %v, want %q", err, want)
			}
		}
		sound := idempotency.Config{Consumer: "c", KeyAttribute: "k", MissingKey: idempotency.DeriveKey, Source: idempotency.SourceSNS}
		if err := idempotency.New(store, sound).Validate(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a store that cannot serve is told by Validate", func(t *testing.T) {
		t.Parallel()
		err := idempotency.New(brokenStore{store}, idempotency.Config{Consumer: "c"}).Validate()
		if !errors.Is(err, errDown) {
			t.Errorf("returned %v", err)
		}
	})
	t.Run("the zero Middleware answers with an error", func(t *testing.T) {
		t.Parallel()
		var mw idempotency.Middleware
		if err := mw.Wrap(nil).Handle(t.Context(), message()); err == nil {
			t.Error("no error")
		}
	})
}

type brokenStore struct{ idempotency.Store }

func (brokenStore) Validate() error                             { return errDown }
func (brokenStore) Start(context.Context, holdfast.Queue) error { return errDown }

func TestStart(t *testing.T) {
	t.Parallel()
	queue := message().Queue
	start := func(t *testing.T, q holdfast.Queue, cfg idempotency.Config) (string, error) {
		t.Helper()
		var log bytes.Buffer
		cfg.Consumer, cfg.Logger = "c", slog.New(slog.NewTextHandler(&log, nil))
		err := idempotency.New(idempotency.NewMemoryStore(), cfg).Start(t.Context(), q)
		return log.String(), err
	}
	t.Run("a sound configuration starts silently", func(t *testing.T) {
		t.Parallel()
		log, err := start(t, queue, idempotency.Config{KeyAttribute: "k", Margin: 5 * time.Second})
		if log != "" || err != nil {
			t.Errorf("logged %q, returned %v", log, err)
		}
	})
	t.Run("a margin above a sixth of the visibility is refused", func(t *testing.T) {
		t.Parallel()
		_, err := start(t, queue, idempotency.Config{Margin: 5*time.Second + 1})
		if err == nil || !strings.Contains(err.Error(), "at most a sixth of the visibility timeout of 30s (5s)") {
			t.Errorf("returned %v", err)
		}
	})
	t.Run("a visibility that leaves a claim no time is refused", func(t *testing.T) {
		t.Parallel()
		q := queue
		q.Visibility = time.Second
		if _, err := start(t, q, idempotency.Config{}); err == nil || !strings.Contains(err.Error(), "must be at least 2s") {
			t.Errorf("returned %v", err)
		}
		q.Visibility = 2 * time.Second
		if _, err := start(t, q, idempotency.Config{}); err != nil {
			t.Errorf("returned %v", err)
		}
	})
	t.Run("weak keys and short memories are logged", func(t *testing.T) {
		t.Parallel()
		log, err := start(t, queue, idempotency.Config{DoneTTL: 96 * time.Hour, RecordTTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"neither Key nor KeyAttribute is set", "check=key-source queue=orders",
			"Config.DoneTTL is 96h0m0s, but a copy of a message can turn up 529h0m0s after it was done",
			"Config.RecordTTL is 1h0m0s, but a message can wait in the queue for 96h0m0s",
		} {
			if !strings.Contains(log, want) {
				t.Errorf("log does not say %q:\n%s", want, log)
			}
		}
	})
	t.Run("a store's own start can refuse", func(t *testing.T) {
		t.Parallel()
		s := struct {
			idempotency.Store
			holdfast.Starter
		}{idempotency.NewMemoryStore(), brokenStore{}}
		if err := idempotency.New(s, idempotency.Config{Consumer: "c"}).Start(t.Context(), queue); !errors.Is(err, errDown) {
			t.Errorf("returned %v", err)
		}
	})
}

func TestPostDeleteTTL(t *testing.T) {
	t.Parallel()
	short := func(c *idempotency.Config) { c.PostDeleteTTL = time.Hour }
	// settled handles a message and tells the middleware what became of it, and
	// returns the time to live of the completed key.
	settled := func(t *testing.T, b *bundle, result error) time.Duration {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); synctest.Wait() }()
		if err := b.mw.Start(ctx, message().Queue); err != nil {
			t.Fatal(err)
		}
		m := message()
		if err := b.handle(t.Context(), m, newLease(), sleeper(0)); err != nil {
			t.Fatal(err)
		}
		b.mw.Settled(m, result)
		synctest.Wait()
		_, ttl, _ := b.memory.Raw(b.key())
		b.state(idempotency.StateCompleted, 1)
		return ttl
	}
	full := 22*24*time.Hour + time.Hour
	bubble(t, "a confirmed delete shortens the memory", func(t *testing.T) {
		if ttl := settled(t, setup(t, short), nil); ttl != time.Hour {
			t.Errorf("time to live is %v, want 1h", ttl)
		}
	})
	bubble(t, "anything else does not", func(t *testing.T) {
		if ttl := settled(t, setup(t, short), errHandler); ttl != full {
			t.Errorf("time to live is %v, want %v", ttl, full)
		}
	})
	bubble(t, "unless it is set a delete does not", func(t *testing.T) {
		if ttl := settled(t, setup(t), nil); ttl != full {
			t.Errorf("time to live is %v, want %v", ttl, full)
		}
	})
	bubble(t, "more deletes than there is room for do not block", func(t *testing.T) {
		b := setup(t, short)
		for range 2000 {
			m := message()
			m.ID = idempotency.NewToken()
			b.handle(t.Context(), m, newLease(), sleeper(0))
			b.mw.Settled(m, nil)
		}
	})
}

// TestConfigDocumentation holds the comment of each field to the house rule.
func TestConfigDocumentation(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				documented[name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return false
	})
	for f := range reflect.TypeFor[idempotency.Config]().Fields() {
		doc := documented[f.Name]
		i := strings.LastIndex(doc, "Default: ")
		if i < 0 || !strings.HasSuffix(doc, ".") || strings.Contains(doc[i:], ". ") {
			t.Errorf("the comment of %s does not end with its default: %q", f.Name, doc)
		}
	}
}
