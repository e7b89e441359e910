package storetest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/idempotency"
)

const (
	lease     = 24 * time.Second
	hard      = 12 * time.Hour
	recordTTL = 4 * 24 * time.Hour
	doneTTL   = 14 * 24 * time.Hour
)

// suite is what one test works with: a store and a key of its own.
type suite struct {
	Harness
	key string
}

func token() string { return rand.Text() }

// claimOf is the request of a worker with this token for a plain message.
func (s *suite) claimOf(token string) idempotency.ClaimRequest {
	return idempotency.ClaimRequest{
		Key: s.key, Token: token, Lease: lease, Hard: hard, TTL: recordTTL,
		PayloadHash: "hash-a", Life: "life-a", MaxAttempts: 5,
	}
}

// holder is a worker that holds, or held, the key.
type holder struct {
	claim idempotency.ClaimRequest
	reply idempotency.ClaimReply
}

// claims makes a claim and wants it to succeed with class.
func (s *suite) claims(t *testing.T, r idempotency.ClaimRequest, class idempotency.Class) *holder {
	t.Helper()
	return &holder{claim: r, reply: s.claim(t, r, class)}
}

// claim makes a claim and wants class.
func (s *suite) claim(t *testing.T, r idempotency.ClaimRequest, class idempotency.Class) idempotency.ClaimReply {
	t.Helper()
	reply, err := s.Store.Claim(t.Context(), r)
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	if reply.Class != class {
		t.Fatalf("claim answered %v, want %v; record %q", reply.Class, class, s.Snapshot(t, s.key))
	}
	return reply
}

func (h *holder) extension() idempotency.ExtendRequest {
	return idempotency.ExtendRequest{
		Key: h.claim.Key, Token: h.claim.Token, Lease: h.claim.Lease, TTL: h.claim.TTL,
		PayloadHash: h.claim.PayloadHash, Life: h.claim.Life,
		Fence: h.reply.Fence, Attempts: h.reply.Attempts, Deaths: h.reply.Deaths, Alone: h.claim.Alone,
		Hard: h.reply.Hard, LastDeadline: h.reply.Deadline,
	}
}

func (h *holder) completion() idempotency.CompleteRequest {
	return idempotency.CompleteRequest{
		Key: h.claim.Key, Token: h.claim.Token, PayloadHash: h.claim.PayloadHash, Life: h.claim.Life,
		Fence: h.reply.Fence, Attempts: h.reply.Attempts, TTL: doneTTL,
	}
}

func (h *holder) release(charge idempotency.Charge) idempotency.ReleaseRequest {
	return idempotency.ReleaseRequest{
		Key: h.claim.Key, Token: h.claim.Token, Fence: h.reply.Fence, TTL: recordTTL, Charge: charge,
	}
}

func (s *suite) extend(t *testing.T, r idempotency.ExtendRequest, class idempotency.Class) idempotency.ExtendReply {
	t.Helper()
	reply, err := s.Store.Extend(t.Context(), r)
	if err != nil {
		t.Fatalf("extend: %v", err)
	}
	if reply.Class != class {
		t.Fatalf("extend answered %v, want %v; record %q", reply.Class, class, s.Snapshot(t, s.key))
	}
	return reply
}

func (s *suite) complete(t *testing.T, r idempotency.CompleteRequest, class idempotency.Class) idempotency.CompleteReply {
	t.Helper()
	reply, err := s.Store.Complete(t.Context(), r)
	if err != nil {
		t.Fatalf("complete: %v", err)
	}
	if reply.Class != class {
		t.Fatalf("complete answered %v, want %v; record %q", reply.Class, class, s.Snapshot(t, s.key))
	}
	return reply
}

func (s *suite) release(t *testing.T, r idempotency.ReleaseRequest, class idempotency.Class) idempotency.ReleaseReply {
	t.Helper()
	reply, err := s.Store.Release(t.Context(), r)
	if err != nil {
		t.Fatalf("release: %v", err)
	}
	if reply.Class != class {
		t.Fatalf("release answered %v, want %v; record %q", reply.Class, class, s.Snapshot(t, s.key))
	}
	return reply
}

// unchanged wants the record to be the same after f as before, byte for byte.
func (s *suite) unchanged(t *testing.T, f func()) {
	t.Helper()
	before := s.Snapshot(t, s.key)
	f()
	if after := s.Snapshot(t, s.key); after != before {
		t.Errorf("the record was changed:\nfrom %q\nto   %q", before, after)
	}
}

// lives wants the record to have a time to live near want.
func (s *suite) lives(t *testing.T, want time.Duration) {
	t.Helper()
	got := s.TTL(t, s.key)
	if got <= 0 || got > want || got < want-time.Minute {
		t.Errorf("time to live is %v, want %v; record %q", got, want, s.Snapshot(t, s.key))
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// near wants a duration to be want, less at most what a slow machine takes.
func near(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if got > want || got < want-10*time.Second {
		t.Errorf("%s is %v, want about %v", what, got, want)
	}
}
