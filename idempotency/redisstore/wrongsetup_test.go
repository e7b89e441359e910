package redisstore_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/sqstest"
)

// hello runs the program of the README, with idempotency on the redis-server at addr,
// until its handler was called. The log is what the middleware told at start.
func hello(t *testing.T, addr string, cfg idempotency.Config) (called bool, log string, srv *sqstest.Server, err error) {
	t.Helper()
	srv = sqstest.New(t)
	q := srv.Queue(t, "orders", sqstest.DLQ(10)) // both retain for 4 days
	q.Send(t, `{"ID":"o-1"}`, sqstest.StringAttribute("order-id", "o-1"))
	var text bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&text, nil))

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	type Order struct{ ID string }
	charge := func(context.Context, Order) error { called = true; cancel(); return nil }
	rdb := newClient(t, &redis.Options{Addr: addr})
	once := idempotency.New(redisstore.New(rdb), cfg)
	c, err := consumer.New(srv.SQS(), "orders", holdfast.JSON(charge), consumer.Config{
		Middleware: []holdfast.Middleware{once}, PollGrace: -1,
	})
	if err == nil {
		err = holdfast.Run(ctx, c)
	}
	return called, text.String(), srv, err
}

// A new user's mistakes are told before anything is received, each with what to
// change. The server is a real one, the queue that of sqstest.
func TestAWrongSetUpIsToldAtStart(t *testing.T) {
	t.Parallel()
	sound := idempotency.Config{Consumer: "orders", KeyAttribute: "order-id"}
	with := func(f func(*idempotency.Config)) idempotency.Config {
		c := sound
		f(&c)
		return c
	}
	for name, c := range map[string]struct {
		redis []string // options of the server
		cfg   idempotency.Config
		want  []string
	}{
		"a Redis that evicts any key": {
			[]string{"maxmemory-policy allkeys-lru"}, sound,
			[]string{"maxmemory-policy allkeys-lru", "work is done twice", "Set maxmemory-policy to noeviction"},
		},
		"a Redis that evicts keys with a time to live, as managed ones do by default": {
			[]string{"maxmemory-policy volatile-lru"}, sound,
			[]string{"maxmemory-policy volatile-lru", "Set maxmemory-policy to noeviction"},
		},
		"a replica": {
			[]string{"replicaof 127.0.0.1 1"}, sound,
			[]string{"is a replica", "Connect to the master"},
		},
		"a memory shorter than the retention of the queue": {
			nil, with(func(c *idempotency.Config) { c.DoneTTL = time.Hour }),
			[]string{"Config.DoneTTL is 1h0m0s", "its work would be done twice", "Set DoneTTL to 289h0m0s or leave it 0"},
		},
		"a memory of seconds": {
			nil, with(func(c *idempotency.Config) { c.DoneTTL = 30 * time.Second }),
			[]string{"Config.DoneTTL is 30s, must be 0 or at least 1m"},
		},
		"more attempts than the queue has receives for": {
			nil, with(func(c *idempotency.Config) { c.MaxAttempts = 10 }),
			[]string{"the queue's maxReceiveCount is 10, must be at least 13 for 10 attempts", "Set maxReceiveCount to 13", "Config.MaxAttempts to 7 or less"},
		},
		"no name of the consumer": {
			nil, with(func(c *idempotency.Config) { c.Consumer = "" }),
			[]string{`Config.Consumer is "", must be set: it names the logical consumer, the same in all its workers`},
		},
		"two of them at once": {
			[]string{"maxmemory-policy allkeys-lru"}, with(func(c *idempotency.Config) { c.DoneTTL = time.Hour }),
			[]string{"Set maxmemory-policy to noeviction", "Set DoneTTL to 289h0m0s"},
		},
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			t.Parallel()
			called, _, srv, err := hello(t, start(t, c.redis...).addr, c.cfg)
			if err == nil {
				t.Fatal("it began")
			}
			says(t, err.Error(), c.want...)
			for _, call := range srv.Log() {
				if called || call.Action == "ReceiveMessage" {
					t.Fatal("something was received")
				}
			}
		})
	}
	for name, c := range map[string]struct {
		cfg  idempotency.Config
		want []string
	}{
		"no key but that of SQS": {
			with(func(c *idempotency.Config) { c.KeyAttribute = "" }),
			[]string{"level=WARN", "neither Key nor KeyAttribute is set: only SQS's message id protects a message", "Set Config.KeyAttribute"},
		},
		"a memory shorter than all retentions": {
			with(func(c *idempotency.Config) { c.DoneTTL = 96 * time.Hour }),
			[]string{"level=WARN", "Config.DoneTTL is 96h0m0s", "Set DoneTTL to 289h0m0s"},
		},
		"a client with the timeouts of go-redis": {
			sound, []string{"level=WARN", "ReadTimeout is 5s instead of 500ms", "Set ContextTimeoutEnabled"},
		},
	} {
		t.Run(name+" is a warning", func(t *testing.T) {
			t.Parallel()
			called, log, _, err := hello(t, start(t).addr, c.cfg)
			if err != nil || !called {
				t.Fatalf("returned %v, handler called: %v", err, called)
			}
			says(t, log, c.want...)
		})
	}
}

// A message without the key that was asked for is not run; what is missing stands on
// it in the dead-letter queue.
func TestAMissingKeyIsToldOnTheMessage(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	q := srv.Queue(t, "orders", sqstest.DLQ(10))
	q.Send(t, `{"ID":"o-1"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	once := idempotency.New(redisstore.New(newClient(t, advised(start(t).addr))), idempotency.Config{Consumer: "orders", KeyAttribute: "order-id"})
	c, err := consumer.New(srv.SQS(), "orders", holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
		t.Error("it was run")
		return nil
	}), consumer.Config{Middleware: []holdfast.Middleware{once}, PollGrace: -1, Hooks: holdfast.Hooks{
		Settled: func(holdfast.SettledEvent) { cancel() },
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := holdfast.Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	dead := q.DLQ().Messages()
	if len(dead) != 1 {
		t.Fatalf("%d messages in the dead-letter queue", len(dead))
	}
	if cause := dead[0].Attributes["holdfast-cause"].Text; !strings.Contains(cause, "message has no key: attribute") ||
		!strings.Contains(cause, "order-id") || !strings.Contains(cause, "is missing or empty") {
		t.Errorf("its cause is %s", cause)
	}
}
