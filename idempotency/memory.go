package idempotency

import (
	"context"
	"sync"
	"time"
)

// MemoryStore is a Store in this process's memory, for tests, examples and
// programs of one process that may forget when they restart. It keeps a record
// until its time to live is over, some 250 bytes each. Safe for concurrent use;
// the zero value works.
type MemoryStore struct {
	mu      sync.Mutex // guards all below
	records map[string]memoryRecord
	// fence is the greatest fence given so far. A clock that stands still, as in
	// a test with virtual time, must not repeat one after its record expired.
	fence int64
	// sweepAt is the number of records at which expired ones are looked for.
	sweepAt int
}

type memoryRecord struct {
	packed  string
	expires time.Time
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{} }

// Claim implements Store.
func (s *MemoryStore) Claim(ctx context.Context, r ClaimRequest) (reply ClaimReply, err error) {
	if err := r.Validate(); err != nil {
		return reply, err
	}
	err = s.update(ctx, r.Key, func(v *Record, now clock) written {
		var w written
		if reply, w = claim(v, now, r); reply.Class == ClassNew || reply.Class == ClassTakeover {
			w.record.Fence = max(w.record.Fence, s.fence+1)
			reply.Fence, s.fence = w.record.Fence, w.record.Fence
		}
		return w
	})
	return reply, err
}

// Extend implements Store.
func (s *MemoryStore) Extend(ctx context.Context, r ExtendRequest) (reply ExtendReply, err error) {
	if err := r.Validate(); err != nil {
		return reply, err
	}
	err = s.update(ctx, r.Key, func(v *Record, now clock) (w written) {
		reply, w = extend(v, now, r)
		return w
	})
	return reply, err
}

// Complete implements Store.
func (s *MemoryStore) Complete(ctx context.Context, r CompleteRequest) (reply CompleteReply, err error) {
	if err := r.Validate(); err != nil {
		return reply, err
	}
	err = s.update(ctx, r.Key, func(v *Record, _ clock) (w written) {
		reply, w = complete(v, r)
		return w
	})
	return reply, err
}

// Release implements Store.
func (s *MemoryStore) Release(ctx context.Context, r ReleaseRequest) (reply ReleaseReply, err error) {
	if err := r.Validate(); err != nil {
		return reply, err
	}
	err = s.update(ctx, r.Key, func(v *Record, _ clock) (w written) {
		reply, w = release(v, r)
		return w
	})
	return reply, err
}

// Poll implements Store.
func (s *MemoryStore) Poll(ctx context.Context, keys []string) ([]Snapshot, error) {
	if err := pollErr(keys); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	snapshots := make([]Snapshot, len(keys))
	for i, key := range keys {
		if r, ok := s.records[key]; ok && now.Before(r.expires) {
			snapshots[i] = NewSnapshot(r.packed, now.UnixMicro(), r.expires.Sub(now))
		}
	}
	return snapshots, nil
}

// Forget implements Store.
func (s *MemoryStore) Forget(ctx context.Context, key string) (existed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[key]
	delete(s.records, key)
	return ok && time.Now().Before(r.expires), nil
}

// Probe implements Store. Memory takes every write.
func (s *MemoryStore) Probe(ctx context.Context) error { return ctx.Err() }

// update applies one transition to one record under the lock.
func (s *MemoryStore) update(ctx context.Context, key string, f func(*Record, clock) written) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	old, ok := s.records[key]
	var v *Record
	if ok && now.Before(old.expires) {
		record, err := ParseRecord(old.packed)
		if err != nil {
			return err
		}
		v = &record
	}
	w := f(v, clock{micros: now.UnixMicro()})
	if w.record == nil {
		return nil
	}
	next := memoryRecord{packed: w.record.String(), expires: now.Add(w.ttl)}
	if w.keep {
		next.expires = old.expires
	}
	if s.records == nil {
		s.records = make(map[string]memoryRecord)
	}
	s.records[key] = next
	s.sweep(now)
	return nil
}

// sweep forgets expired records each time the store has doubled, which makes it
// cost a constant amount per record.
func (s *MemoryStore) sweep(now time.Time) {
	if len(s.records) < max(s.sweepAt, 1024) {
		return
	}
	for key, r := range s.records {
		if !now.Before(r.expires) {
			delete(s.records, key)
		}
	}
	s.sweepAt = 2 * len(s.records)
}
