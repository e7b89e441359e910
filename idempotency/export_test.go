package idempotency

import (
	"time"

	"github.com/holdfast-go/holdfast"
)

// Raw returns the packed record under key and what is left of its time to live.
func (s *MemoryStore) Raw(key string) (string, time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[key]
	return r.packed, time.Until(r.expires), ok
}

// SetRaw replaces the packed record under key and leaves its time to live.
func (s *MemoryStore) SetRaw(key, packed string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[key]
	r.packed = packed
	s.records[key] = r
}

// Delete loses the record under key.
func (s *MemoryStore) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, key)
}

// Len is the number of records kept, expired ones included.
func (s *MemoryStore) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// NewToken draws a token.
var NewToken = newToken

// KeyID hashes a source.
func KeyID(tag string, parts ...string) string { return keyID("", tag, parts...) }

// DeadlinePassed tells whether a lease counted from sent is over at now, where
// the wall clock has run ahead of the monotonic one by skew since then.
func DeadlinePassed(sent time.Time, lease time.Duration, now time.Time, skew time.Duration) (passed bool, left time.Duration) {
	d := deadlineAt(sent, lease)
	d.wall = d.wall.Add(-skew)
	return d.passed(now), d.left(now)
}

// Written is what a transition wants written.
type Written struct {
	Record *Record // nil where the record stays as it is
	TTL    time.Duration
	Keep   bool // the time to live stays as it is
}

func (w written) export() Written { return Written{Record: w.record, TTL: w.ttl, Keep: w.keep} }

// TwinClaim, TwinExtend, TwinComplete and TwinRelease are the transitions, applied
// to a record at micros on the store's clock.
func TwinClaim(v *Record, micros int64, r ClaimRequest) (ClaimReply, Written) {
	reply, w := claim(v, clock{micros}, r)
	return reply, w.export()
}

func TwinExtend(v *Record, micros int64, r ExtendRequest) (ExtendReply, Written) {
	reply, w := extend(v, clock{micros}, r)
	return reply, w.export()
}

func TwinComplete(v *Record, _ int64, r CompleteRequest) (CompleteReply, Written) {
	reply, w := complete(v, r)
	return reply, w.export()
}

func TwinRelease(v *Record, _ int64, r ReleaseRequest) (ReleaseReply, Written) {
	reply, w := release(v, r)
	return reply, w.export()
}

// LifeOf returns the life of m.
func (mw *Middleware) LifeOf(m *holdfast.Message) string {
	id, _ := mw.identify(m)
	return id.life
}
