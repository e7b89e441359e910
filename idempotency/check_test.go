package idempotency_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// soundQueue is one that nothing is to be said of.
func soundQueue() holdfast.Queue {
	q := message().Queue
	q.DeadLetterARN, q.DeadLetterRetention = "arn:aws:sqs:eu-west-1:1:orders-dlq", 14*24*time.Hour
	return q
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	type setUp struct {
		cfg   idempotency.Config
		queue func(*holdfast.Queue)
	}
	byOrder := idempotency.Config{KeyAttribute: "order-id"}
	with := func(f func(*idempotency.Config)) idempotency.Config {
		c := byOrder
		f(&c)
		return c
	}
	for name, c := range map[string]struct {
		setUp
		finding  string
		severity idempotency.Severity
		says     []string // of problem and advice
	}{
		"a sound set-up": {setUp: setUp{cfg: byOrder}},
		"a margin above a sixth of the visibility": {
			setUp{cfg: with(func(c *idempotency.Config) { c.Margin = 6 * time.Second })}, "margin", idempotency.SeverityError,
			[]string{"Config.Margin is 6s", "at most a sixth of the visibility timeout of 30s (5s)", "Lower Margin"},
		},
		"a visibility of 1 s": {
			setUp{byOrder, func(q *holdfast.Queue) { q.Visibility = time.Second }}, "visibility", idempotency.SeverityError,
			[]string{"visibility timeout is 1s, must be at least 2s", "30s is a good value"},
		},
		"a memory shorter than the retentions": {
			setUp{cfg: with(func(c *idempotency.Config) { c.DoneTTL = 7 * day })}, "done-ttl", idempotency.SeverityWarning,
			[]string{"Config.DoneTTL is 168h0m0s", "529h0m0s after it was done", "Set DoneTTL to 529h0m0s", "PostDeleteTTL"},
		},
		"a memory shorter than the retention of the queue itself": {
			setUp{cfg: with(func(c *idempotency.Config) { c.DoneTTL = 4*day - time.Minute })}, "done-ttl", idempotency.SeverityError,
			[]string{"Config.DoneTTL is 95h59m0s", "529h0m0s after it was done", "Set DoneTTL to 529h0m0s"},
		},
		"a memory as long as that": {
			setUp{cfg: with(func(c *idempotency.Config) { c.DoneTTL = 4 * day })}, "done-ttl", idempotency.SeverityWarning,
			[]string{"Config.DoneTTL is 96h0m0s"},
		},
		"a short memory for a queue that is not known": {
			setUp{with(func(c *idempotency.Config) { c.DoneTTL = time.Hour }), func(q *holdfast.Queue) { q.Retention = 0 }},
			"done-ttl", idempotency.SeverityWarning, []string{"Config.DoneTTL is 1h0m0s"},
		},
		"a memory as long as retentions that are short": {setUp: setUp{
			with(func(c *idempotency.Config) { c.DoneTTL = 7*day + time.Hour }),
			func(q *holdfast.Queue) { q.Retention, q.DeadLetterRetention = day, 5*day },
		}},
		"a memory of a queue that has no dead-letter queue": {
			setUp{with(func(c *idempotency.Config) { c.DoneTTL = 4*day + time.Hour }), func(q *holdfast.Queue) {
				q.DeadLetterARN, q.MaxReceiveCount = "", 0
			}}, "no-dead-letter-queue", idempotency.SeverityWarning,
			[]string{"has no redrive policy", "comes back until its retention is over", "maxReceiveCount of 6 or more"},
		},
		"a short memory after the delete that is not shorter": {
			setUp{with(func(c *idempotency.Config) { c.PostDeleteTTL = 30 * day }), nil}, "post-delete-ttl", idempotency.SeverityWarning,
			[]string{"Config.PostDeleteTTL is 720h0m0s, not less than the 529h0m0s", "saves nothing"},
		},
		"records shorter than the retention": {
			setUp{cfg: with(func(c *idempotency.Config) { c.RecordTTL = day })}, "record-ttl", idempotency.SeverityWarning,
			[]string{"Config.RecordTTL is 24h0m0s", "96h0m0s", "attempts start anew", "Set RecordTTL to 96h0m0s"},
		},
		"more attempts than the redrive policy has receives for": {
			setUp{cfg: with(func(c *idempotency.Config) { c.MaxAttempts = 8 })}, "max-receive-count", idempotency.SeverityError,
			[]string{"maxReceiveCount is 10, must be at least 11 for 8 attempts", "Set maxReceiveCount to 11 or more", "Config.MaxAttempts to 7 or less"},
		},
		"just as many as it has": {setUp: setUp{cfg: with(func(c *idempotency.Config) { c.MaxAttempts = 7 })}},
		"a redrive policy that leaves no room": {
			setUp{byOrder, func(q *holdfast.Queue) { q.MaxReceiveCount = 5 }}, "max-receive-count", idempotency.SeverityWarning,
			[]string{"maxReceiveCount is 5, must be at least 6 for 3 attempts", "Set maxReceiveCount to 6 or more"},
		},
		"keys that are SQS's": {
			setUp{}, "key-source", idempotency.SeverityWarning,
			[]string{"only SQS's message id protects a message", "worked on twice", "Set Config.KeyAttribute (or Config.Key)"},
		},
		"keys that are SQS's by choice": {
			setUp{cfg: idempotency.Config{Source: idempotency.SourceSQS}}, "key-source", idempotency.SeverityWarning,
			[]string{"only SQS's message id protects a message"},
		},
		"keys of a FIFO queue": {
			setUp{queue: func(q *holdfast.Queue) { q.FIFO = true }}, "key-source", idempotency.SeverityWarning,
			[]string{"the key is the deduplication id of SQS", "moved back from a dead-letter queue"},
		},
		"keys that are payloads": {
			setUp{cfg: idempotency.Config{Source: idempotency.SourcePayload}}, "key-source", idempotency.SeverityWarning,
			[]string{"of two messages that are equal only the first is worked on"},
		},
		"keys that come through SNS by choice": {setUp: setUp{cfg: idempotency.Config{Source: idempotency.SourceSNS}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := soundQueue()
			if c.queue != nil {
				c.queue(&q)
			}
			c.cfg.Consumer = "orders"
			findings, err := idempotency.Check(t.Context(), idempotency.NewMemoryStore(), c.cfg, q)
			if err != nil {
				t.Fatal(err)
			}
			startErr := idempotency.New(idempotency.NewMemoryStore(), c.cfg).Start(t.Context(), q)
			if (startErr != nil) != (c.severity == idempotency.SeverityError) {
				t.Errorf("Start returned %v", startErr)
			}
			if c.finding == "" {
				if len(findings) > 0 {
					t.Errorf("found %+v", findings)
				}
				return
			}
			if len(findings) != 1 || findings[0].Name != c.finding || findings[0].Severity != c.severity {
				t.Fatalf("found %+v, want one %v named %s", findings, c.severity, c.finding)
			}
			for _, want := range c.says {
				if !strings.Contains(findings[0].String(), want) {
					t.Errorf("it does not say %q: %s", want, findings[0])
				}
				if startErr != nil && !strings.Contains(startErr.Error(), want) {
					t.Errorf("Start does not say %q: %v", want, startErr)
				}
			}
		})
	}
}

// checkedStore is a store with something to say.
type checkedStore struct {
	idempotency.Store
	asked *idempotency.CheckRequest
	err   error
}

func (s checkedStore) Check(_ context.Context, r idempotency.CheckRequest) ([]idempotency.Finding, error) {
	*s.asked = r
	return []idempotency.Finding{
		{Name: "clocks", Problem: "clocks differ", Advice: "Set them"},
		{Name: "eviction", Severity: idempotency.SeverityError, Problem: "maxmemory-policy is volatile-lru", Advice: "Set it to noeviction"},
	}, s.err
}

func TestCheckAsksTheStore(t *testing.T) {
	t.Parallel()
	var asked idempotency.CheckRequest
	cfg := idempotency.Config{Consumer: "orders", StoreTimeout: 2 * time.Second}
	findings, err := idempotency.Check(t.Context(), checkedStore{idempotency.NewMemoryStore(), &asked, errDown}, cfg, soundQueue())
	if !errors.Is(err, errDown) {
		t.Errorf("returned %v", err)
	}
	var names []string
	for _, f := range findings {
		names = append(names, f.Severity.String()+" "+f.Name)
	}
	if got := strings.Join(names, ", "); got != "error eviction, warning clocks, warning key-source" {
		t.Errorf("found %s", got)
	}
	if asked.Queue.Name != "orders" || asked.Visibility != 30*time.Second || asked.Lease != 24*time.Second || asked.StoreTimeout != 2*time.Second {
		t.Errorf("the store was asked %+v", asked)
	}
	err = idempotency.New(checkedStore{idempotency.NewMemoryStore(), &asked, nil}, cfg).Start(t.Context(), soundQueue())
	if err == nil || !strings.Contains(err.Error(), "maxmemory-policy is volatile-lru. Set it to noeviction") {
		t.Errorf("Start returned %v", err)
	}
	if _, err := idempotency.Check(t.Context(), nil, cfg, soundQueue()); err == nil || !strings.Contains(err.Error(), "store is nil") {
		t.Errorf("Check of no store returned %v", err)
	}
}
