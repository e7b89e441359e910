package idempotency_test

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

func str(s string) holdfast.Attribute { return holdfast.Attribute{Type: "String", String: s} }

// everything is a message that offers each source of a key.
func everything() *holdfast.Message {
	m := message()
	m.Attributes = map[string]holdfast.Attribute{
		"idempotency-key": str("k-1"), "ce-source": str("/shop"), "ce-id": str("e-1"),
		"ce_source": str("/kafka"), "ce_id": str("e-2"),
	}
	m.Event = holdfast.Event{Service: "S3", ID: "v-1"}
	m.Topic = holdfast.Topic{ARN: "arn:aws:sns:eu-west-1:1:orders", MessageID: "s-1"}
	m.Queue.FIFO, m.GroupID, m.DeduplicationID = true, "g-1", "d-1"
	return m
}

func TestKeySources(t *testing.T) {
	t.Parallel()
	// From the strongest to the weakest; each step takes away the source before.
	m := everything()
	steps := []struct {
		name   string
		remove func()
		want   string
	}{
		{"the configured attribute", func() {}, idempotency.KeyID("attribute", "k-1")},
		{"CloudEvents", func() { delete(m.Attributes, "idempotency-key") }, idempotency.KeyID("cloudevent", "/shop", "e-1")},
		{"CloudEvents by the other names, where one half is missing", func() { delete(m.Attributes, "ce-id") }, idempotency.KeyID("cloudevent", "/kafka", "e-2")},
		{"the event of a service", func() { delete(m.Attributes, "ce_source") }, idempotency.KeyID("event", "S3", "v-1")},
		{"the SNS message", func() { m.Event = holdfast.Event{} }, idempotency.KeyID("sns", "arn:aws:sns:eu-west-1:1:orders", "s-1")},
		{"the FIFO deduplication id", func() { m.Topic = holdfast.Topic{} }, idempotency.KeyID("fifo", "arn:aws:sqs:eu-west-1:1:orders", "g-1", "d-1")},
		{"the SQS message id", func() { m.DeduplicationID = "" }, idempotency.KeyID("sqs", "m-1")},
	}
	b := setup(t, func(c *idempotency.Config) { c.KeyAttribute, c.MissingKey = "idempotency-key", idempotency.DeriveKey })
	for _, s := range steps {
		s.remove()
		key, err := b.mw.KeyOf(m)
		if err != nil || key != "hf:orders:"+s.want {
			t.Errorf("%s: key is %q, %v; want hf:orders:%s", s.name, key, err, s.want)
		}
	}

	t.Run("the user's function comes before everything", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(c *idempotency.Config) {
			c.Prefix = "shop:eu"
			c.KeyAttribute = "idempotency-key"
			c.Key = func(m *holdfast.Message) (string, error) { return m.Body, nil }
		})
		m := everything()
		if key, err := b.mw.KeyOf(m); err != nil || key != "shop:eu:orders:"+idempotency.KeyID("user", m.Body) {
			t.Errorf("key is %q, %v", key, err)
		}
		m.Body = ""
		if key, err := b.mw.KeyOf(m); err != nil || key != "shop:eu:orders:"+idempotency.KeyID("attribute", "k-1") {
			t.Errorf("without a key from the function: key is %q, %v", key, err)
		}
	})
	t.Run("a binary attribute is a key", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(c *idempotency.Config) { c.KeyAttribute = "k" })
		m := message()
		m.Attributes = map[string]holdfast.Attribute{"k": {Type: "Binary.uuid", Binary: []byte{0, 1}}}
		if key, err := b.mw.KeyOf(m); err != nil || key != "hf:orders:"+idempotency.KeyID("attribute", "\x00\x01") {
			t.Errorf("key is %q, %v", key, err)
		}
	})
	t.Run("the function's error is the handler's", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(c *idempotency.Config) {
			c.Key = func(*holdfast.Message) (string, error) { return "", holdfast.Permanent(errHandler) }
		})
		called, err := b.run(nil)
		var permanent *holdfast.PermanentError
		if called || !errors.As(err, &permanent) || !errors.Is(err, errHandler) {
			t.Errorf("called is %v, returned %v", called, err)
		}
	})
	// python 2465: a missing key crashed there, or left the message unprotected.
	t.Run("a message without the key that was asked for is dead-lettered", func(t *testing.T) {
		t.Parallel()
		for name, change := range map[string]func(*idempotency.Config){
			`attribute "order-id" is missing or empty`: func(c *idempotency.Config) { c.KeyAttribute = "order-id" },
			"Config.Key returned an empty one": func(c *idempotency.Config) {
				c.Key = func(*holdfast.Message) (string, error) { return "", nil }
			},
		} {
			called, err := setup(t, change).run(nil)
			var permanent *holdfast.PermanentError
			if called || !errors.As(err, &permanent) || !errors.Is(err, idempotency.ErrNoKey) || !strings.Contains(err.Error(), name) {
				t.Errorf("called is %v, returned %v; want Permanent with ErrNoKey and %q", called, err, name)
			}
		}
	})
	t.Run("a source that was chosen is the only one", func(t *testing.T) {
		t.Parallel()
		for source, want := range map[idempotency.Source]string{
			idempotency.SourceCloudEvent: idempotency.KeyID("cloudevent", "/shop", "e-1"),
			idempotency.SourceEvent:      idempotency.KeyID("event", "S3", "v-1"),
			idempotency.SourceSNS:        idempotency.KeyID("sns", "arn:aws:sns:eu-west-1:1:orders", "s-1"),
			idempotency.SourceFIFO:       idempotency.KeyID("fifo", "arn:aws:sqs:eu-west-1:1:orders", "g-1", "d-1"),
			idempotency.SourceSQS:        idempotency.KeyID("sqs", "m-1"),
			idempotency.SourcePayload:    idempotency.KeyID("payload", `{"order":1}`),
		} {
			b := setup(t, func(c *idempotency.Config) { c.Source = source })
			if key, err := b.mw.KeyOf(everything()); err != nil || key != "hf:orders:"+want {
				t.Errorf("%v: key is %q, %v; want hf:orders:%s", source, key, err, want)
			}
			bare := &holdfast.Message{Body: "x"}
			_, err := b.mw.KeyOf(bare)
			if source == idempotency.SourcePayload {
				if err != nil {
					t.Errorf("%v of a bare message: %v", source, err)
				}
				continue
			}
			var permanent *holdfast.PermanentError
			if !errors.As(err, &permanent) || !errors.Is(err, idempotency.ErrNoKey) || !strings.Contains(err.Error(), "it has not "+source.String()) {
				t.Errorf("%v of a bare message: %v; want Permanent with ErrNoKey", source, err)
			}
		}
	})
	t.Run("a payload is never a key unless it is asked for", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		if _, err := b.mw.KeyOf(&holdfast.Message{Body: "x"}); !errors.Is(err, idempotency.ErrNoKey) {
			t.Errorf("returned %v", err)
		}
	})
	t.Run("another epoch makes all work new", func(t *testing.T) {
		t.Parallel()
		seen := map[string]string{}
		for _, epoch := range []string{"", "2026-11", "2026-12"} {
			b := setup(t, func(c *idempotency.Config) { c.ReplayEpoch, c.KeyAttribute = epoch, "idempotency-key" })
			key, err := b.mw.KeyOf(everything())
			if err != nil || seen[key] != "" {
				t.Errorf("epoch %q: key is %q, %v, as of epoch %q", epoch, key, err, seen[key])
			}
			seen[key] = "epoch " + epoch
		}
	})
	t.Run("a message without a key runs unprotected where that is wanted, and is counted", func(t *testing.T) {
		t.Parallel()
		var told []idempotency.UnkeyedEvent
		b := setup(t, func(c *idempotency.Config) {
			c.KeyAttribute, c.MissingKey = "order-id", idempotency.RunUnkeyed
			c.Hooks.Unkeyed = func(e idempotency.UnkeyedEvent) { told = append(told, e) }
		})
		ran := 0
		for range 2 {
			err := b.handle(t.Context(), message(), newLease(), func(ctx context.Context, m *holdfast.Message) error {
				ran++
				if _, ok := idempotency.FromContext(ctx); ok {
					t.Error("there is a claim")
				}
				return errHandler
			})
			if err != errHandler {
				t.Errorf("returned %v, want the handler's error", err)
			}
		}
		if ran != 2 || len(told) != 2 || told[0].Message.ID != "m-1" || !errors.Is(told[0].Why, idempotency.ErrNoKey) || b.store.count("claim") != 0 {
			t.Errorf("ran %d times, told %+v, %d claims", ran, told, b.store.count("claim"))
		}
		m := message()
		m.Attributes = map[string]holdfast.Attribute{"order-id": str("7")}
		if err := b.handle(t.Context(), m, newLease(), sleeper(0)); err != nil || b.store.count("claim") != 1 {
			t.Errorf("with a key: returned %v, %d claims", err, b.store.count("claim"))
		}
	})
	t.Run("a message without any id is dead-lettered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		m := message()
		m.ID = ""
		if err := b.handle(t.Context(), m, newLease(), nil); !errors.Is(err, idempotency.ErrNoKey) {
			t.Errorf("returned %v", err)
		}
	})
	t.Run("two consumers of one topic have two keys", func(t *testing.T) {
		t.Parallel()
		a, _ := setup(t).mw.KeyOf(everything())
		b, _ := setup(t, func(c *idempotency.Config) { c.Consumer = "mailer" }).mw.KeyOf(everything())
		if a == b {
			t.Errorf("both are %q", a)
		}
	})
}

// The key, the payload hash and the life are those of the message as received,
// whatever the handler does to it (ts 5717).
func TestKeyIsImmutable(t *testing.T) {
	t.Parallel()
	wreck := func(m *holdfast.Message) {
		for name := range m.Attributes {
			m.Attributes[name] = str("wrecked")
		}
		*m = holdfast.Message{ID: "other", Body: "other", Attributes: maps.Clone(m.Attributes)}
	}
	byAttribute := func(c *idempotency.Config) { c.KeyAttribute = "idempotency-key" }
	for _, c := range []struct {
		name   string
		result error
		state  idempotency.State
	}{
		{"a completion is for the key that was claimed", nil, idempotency.StateCompleted},
		{"a release is for the key that was claimed", errHandler, idempotency.StateFree},
	} {
		bubble(t, c.name, func(t *testing.T) {
			b := setup(t, byAttribute)
			lease := newLease()
			key, _ := b.mw.KeyOf(everything())
			b.handle(t.Context(), everything(), lease, func(_ context.Context, m *holdfast.Message) error {
				wreck(m)
				lease.renew()
				synctest.Wait()
				return c.result
			})
			packed, _, _ := b.memory.Raw(key)
			r, err := idempotency.ParseRecord(packed)
			claim := b.store.claims[0]
			if err != nil || r.State != c.state || r.PayloadHash != claim.PayloadHash || r.Life != claim.Life {
				t.Errorf("record is %q, %v; want state %c, payload hash %s, life %s", packed, err, c.state, claim.PayloadHash, claim.Life)
			}
			if n := b.memory.Len(); n != 1 {
				t.Errorf("there are %d records, want 1", n)
			}
			if b.store.count("extend") != 1 {
				t.Errorf("%d extensions, want 1", b.store.count("extend"))
			}
		})
	}
	bubble(t, "an identical delivery after a completion is a duplicate", func(t *testing.T) {
		b := setup(t, byAttribute)
		b.handle(t.Context(), everything(), newLease(), func(_ context.Context, m *holdfast.Message) error { wreck(m); return nil })
		if err := b.handle(t.Context(), everything(), newLease(), nil); err != nil {
			t.Errorf("returned %v", err)
		}
	})
	bubble(t, "configurations on one store do not share settings", func(t *testing.T) { // ts 5409
		b := setup(t, func(c *idempotency.Config) { c.DoneTTL = time.Hour })
		other := idempotency.New(b.store, idempotency.Config{Consumer: "mailer", DoneTTL: 2 * time.Hour})
		b.run(nil)
		other.Wrap(holdfast.HandlerFunc(sleeper(0))).Handle(t.Context(), message())
		if d := b.store.done; len(d) != 2 || d[0].TTL != time.Hour || d[1].TTL != 2*time.Hour {
			t.Errorf("completions were %+v", d)
		}
	})
}

func TestPayloadHash(t *testing.T) {
	t.Parallel()
	bubble(t, "it is 8 bytes of the body's SHA-256", func(t *testing.T) {
		b := setup(t)
		m := message()
		m.Body = "abc"
		b.handle(t.Context(), m, newLease(), sleeper(0))
		// SHA-256("abc") begins with ba7816bf 8f01cfea.
		if got := b.store.claims[0].PayloadHash; got != "ungWv48Bz-o" {
			t.Errorf("hash is %q", got)
		}
	})
}

func TestDeadlineHeedsBothClocks(t *testing.T) {
	t.Parallel()
	sent := time.Now()
	for _, c := range []struct {
		name   string
		after  time.Duration
		skew   time.Duration
		passed bool
		left   time.Duration
	}{
		{"before the end", 23 * time.Second, 0, false, time.Second},
		{"at the end", 24 * time.Second, 0, true, 0},
		{"the machine was suspended: only the wall clock went on", time.Second, 30 * time.Second, true, -7 * time.Second},
		{"the wall clock was set back", 24 * time.Second, -time.Hour, true, 0},
	} {
		passed, left := idempotency.DeadlinePassed(sent, 24*time.Second, sent.Add(c.after), c.skew)
		if passed != c.passed || left != c.left {
			t.Errorf("%s: passed is %v with %v left, want %v with %v", c.name, passed, left, c.passed, c.left)
		}
	}
}

var keyForm = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// FuzzKeyID looks for two sources with one key: parts that run into each other.
func FuzzKeyID(f *testing.F) {
	f.Add("ab", "c", uint8(1))
	f.Add("a\x00b", "", uint8(0))
	f.Add("\x00\x00\x00\x00\x00\x00\x00\x01a", "a", uint8(9))
	f.Fuzz(func(t *testing.T, a, b string, cut uint8) {
		key := idempotency.KeyID("user", a, b)
		if !keyForm.MatchString(key) {
			t.Fatalf("key is %q", key)
		}
		if key != idempotency.KeyID("user", strings.Clone(a), strings.Clone(b)) {
			t.Fatal("the same parts have two keys")
		}
		if key == idempotency.KeyID("sns", a, b) {
			t.Fatal("two sources share a key")
		}
		joined := a + b
		i := int(cut) % (len(joined) + 1)
		if moved := idempotency.KeyID("user", joined[:i], joined[i:]); (moved == key) != (joined[:i] == a) {
			t.Fatalf("%q, %q and %q, %q: keys %s and %s", a, b, joined[:i], joined[i:], key, moved)
		}
		if key == idempotency.KeyID("user", joined) || key == idempotency.KeyID("user", a, b, "") {
			t.Fatal("another number of parts has the same key")
		}
	})
}
