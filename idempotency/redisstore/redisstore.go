// Package redisstore is the idempotency.Store on Redis 6.0 or newer, or a server
// that speaks the same: one packed string per key, Lua scripts of one key each, so that keys spread over a cluster.
//
// Redis decides by its own clock (TIME); clients' clocks are never compared. What
// a failover of asynchronous replication loses, the protocol meets with fences
// that also grow over a lost record.
//
// # The client
//
// Give it a client of its own, made with timeouts far below the visibility
// timeout: go-redis's defaults (5 s to read, 3 retries, contexts not heeded) can
// hold one call for 20 s, which is most of a 24 s lease. Good values are
//
//	redis.NewClient(&redis.Options{
//		Addr:                  "localhost:6379",
//		DialTimeout:           time.Second,
//		ReadTimeout:           500 * time.Millisecond,
//		WriteTimeout:          500 * time.Millisecond,
//		PoolTimeout:           time.Second,
//		MaxRetries:            1,
//		ContextTimeoutEnabled: true,
//	})
//
// The server must not evict keys: maxmemory-policy noeviction. All records have a
// time to live, so that volatile-lru, the default of ElastiCache and Memorystore,
// evicts exactly them, and a record that is gone is work done twice.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
)

// ErrClient is wrapped by Validate, and by every method, where the client given
// to New cannot serve as a store.
var ErrClient = errors.New("redisstore: unsuitable client")

// Store is an idempotency.Store on Redis. Make one with New; the zero value
// answers every call with an error wrapping ErrClient. Safe for concurrent use.
type Store struct {
	rdb redis.UniversalClient
	err error // why rdb cannot be used
}

var _ idempotency.Store = (*Store)(nil)

// New returns a store on rdb: a *redis.Client (Sentinel's too) or a
// *redis.ClusterClient. It does no I/O. A client that cannot serve, as a
// *redis.Ring, which moves keys between servers when one fails, is told by
// Validate, which the consumer's constructor calls.
func New(rdb redis.UniversalClient) *Store {
	s := &Store{rdb: rdb}
	switch rdb := rdb.(type) {
	case nil:
		s.err = fmt.Errorf("%w: it is nil", ErrClient)
	case *redis.Ring:
		s.err = fmt.Errorf("%w: a *redis.Ring gives a key to another server when one fails, "+
			"so that two may hold it; use a cluster or Sentinel client", ErrClient)
	default:
		if v := reflect.ValueOf(rdb); v.Kind() == reflect.Pointer && v.IsNil() {
			s.err = fmt.Errorf("%w: it is a nil %T", ErrClient, rdb)
		}
	}
	return s
}

// Validate returns why the client cannot serve as a store, wrapping ErrClient.
func (s *Store) Validate() error {
	if s.rdb == nil && s.err == nil {
		return fmt.Errorf("%w: the store was not made with New", ErrClient)
	}
	return s.err
}

// Claim implements idempotency.Store.
func (s *Store) Claim(ctx context.Context, r idempotency.ClaimRequest) (idempotency.ClaimReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.ClaimReply{}, err
	}
	f := s.run(ctx, "claim", claimScript, r.Key, r.Token, r.Lease.Milliseconds(), r.TTL.Milliseconds(),
		r.PayloadHash, r.Hard.Milliseconds(), r.Life, r.MaxAttempts, digit(r.Alone))
	reply := idempotency.ClaimReply{Class: f.class("NTOBCMA"), Fence: f.number()}
	if f.err == nil && reply.Class != idempotency.ClassDone && reply.Class != idempotency.ClassMismatch {
		reply.Left = f.millis()
		reply.HardLeft = f.millis()
		reply.Attempts = int(f.number())
		reply.Duplicates = int(f.number())
		reply.Deadline = idempotency.Instant(f.number())
		reply.Hard = idempotency.Instant(f.number())
		reply.Deaths = int(f.number())
	}
	if f.err != nil {
		return idempotency.ClaimReply{}, f.err
	}
	return reply, nil
}

// Extend implements idempotency.Store.
func (s *Store) Extend(ctx context.Context, r idempotency.ExtendRequest) (idempotency.ExtendReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.ExtendReply{}, err
	}
	f := s.run(ctx, "extend", extendScript, r.Key, r.Token, r.Fence, r.Lease.Milliseconds(), r.TTL.Milliseconds(),
		int64(r.LastDeadline), r.Attempts, r.PayloadHash, r.Life, int64(r.Hard), r.Deaths, digit(r.Alone))
	reply := idempotency.ExtendReply{Class: f.class("ORLCX"), Fence: f.number(), Deadline: idempotency.Instant(f.number())}
	if f.err != nil {
		return idempotency.ExtendReply{}, f.err
	}
	return reply, nil
}

// Complete implements idempotency.Store.
func (s *Store) Complete(ctx context.Context, r idempotency.CompleteRequest) (idempotency.CompleteReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.CompleteReply{}, err
	}
	f := s.run(ctx, "complete", completeScript, r.Key, r.Token, r.Fence, r.TTL.Milliseconds(),
		r.PayloadHash, r.Life, r.Attempts)
	reply := idempotency.CompleteReply{Class: f.class("ORCX"), Fence: f.number()}
	if f.err != nil {
		return idempotency.CompleteReply{}, f.err
	}
	return reply, nil
}

// Release implements idempotency.Store.
func (s *Store) Release(ctx context.Context, r idempotency.ReleaseRequest) (idempotency.ReleaseReply, error) {
	if err := r.Validate(); err != nil {
		return idempotency.ReleaseReply{}, err
	}
	charge := "charge"
	switch r.Charge {
	case idempotency.RefundAttempt:
		charge = "refund"
	case idempotency.ResetAttempts:
		charge = "reset"
	}
	f := s.run(ctx, "release", releaseScript, r.Key, r.Token, r.Fence, r.TTL.Milliseconds(), charge)
	reply := idempotency.ReleaseReply{Class: f.class("OLX"), Fence: f.number(), Attempts: int(f.number())}
	if f.err != nil {
		return idempotency.ReleaseReply{}, f.err
	}
	return reply, nil
}

// Poll implements idempotency.Store, in one pipeline.
func (s *Store) Poll(ctx context.Context, keys []string) ([]idempotency.Snapshot, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	replies, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range keys {
			if key == "" {
				return errors.New("redisstore: poll: a key is empty")
			}
			p.Eval(ctx, pollLua, []string{key})
		}
		return nil
	})
	if len(replies) != len(keys) {
		return nil, err
	}
	snapshots := make([]idempotency.Snapshot, len(keys))
	for i, reply := range replies {
		f := &fields{}
		f.left, f.err = reply.(*redis.Cmd).StringSlice()
		if f.err != nil && strings.Contains(f.err.Error(), "WRONGTYPE") {
			snapshots[i].Err = fmt.Errorf("redisstore: poll %q: %w: %w", keys[i], idempotency.ErrBadRecord, f.err)
			continue
		}
		packed, ttl, micros := f.next(), f.millis(), f.number()
		switch {
		case f.err != nil:
			return nil, wrap("poll", keys[i], f.err)
		case packed != "" || micros != 0:
			snapshots[i] = idempotency.NewSnapshot(packed, micros, ttl)
		}
	}
	return snapshots, nil
}

// Forget implements idempotency.Store.
func (s *Store) Forget(ctx context.Context, key string) (existed bool, err error) {
	if err := s.Validate(); err != nil {
		return false, err
	}
	n, err := s.rdb.Del(ctx, key).Result()
	if err != nil {
		return false, wrap("forget", key, err)
	}
	return n == 1, nil
}

// Probe implements idempotency.Store: it writes a short-lived key to each master.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.Validate(); err != nil {
		return err
	}
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return s.probe(ctx, s.rdb, "hf:probe")
	}
	var mu sync.Mutex // guards masters
	masters := map[string]bool{}
	err := cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters[c.Options().Addr] = true
		return nil
	})
	if err != nil {
		return wrap("probe", "cluster", err)
	}
	// A master takes only keys of its own slots: keys are tried until each was met.
	for n := 0; len(masters) > 0 && n < 1<<14; n++ {
		key := "hf:probe:" + strconv.Itoa(n)
		c, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return wrap("probe", key, err)
		}
		if !masters[c.Options().Addr] {
			continue
		}
		delete(masters, c.Options().Addr)
		if err := s.probe(ctx, c, key); err != nil {
			return err
		}
	}
	return nil
}

func (*Store) probe(ctx context.Context, c redis.Cmdable, key string) error {
	if err := c.Set(ctx, key, "1", time.Second).Err(); err != nil {
		return wrap("probe", key, err)
	}
	return nil
}

// wrap tells the error of a call. What is not said of the record is an outage.
func wrap(op, key string, err error) error {
	kind := idempotency.ErrUnavailable
	if text := err.Error(); strings.Contains(text, "BADRECORD") || strings.Contains(text, "WRONGTYPE") {
		// The second is Redis's own word for a key that is not even a string.
		kind = idempotency.ErrBadRecord
	}
	return fmt.Errorf("redisstore: %s %q: %w: %w", op, key, kind, err)
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// run calls a script by its hash, and in full where the server does not know it
// (after a restart or a failover). go-redis repeats a call whose connection broke;
// the token makes that harmless.
func (s *Store) run(ctx context.Context, op string, script *redis.Script, key string, args ...any) *fields {
	f := &fields{}
	if f.err = s.Validate(); f.err != nil {
		return f
	}
	f.left, f.err = script.Run(ctx, s.rdb, []string{key}, args...).StringSlice()
	if f.err != nil {
		f.err = wrap(op, key, f.err)
	}
	return f
}

// fields reads a script's reply field by field; the first failure stays in err.
type fields struct {
	left []string
	err  error
}

func (f *fields) next() string {
	if f.err != nil {
		return ""
	}
	if len(f.left) == 0 {
		f.err = errors.New("redisstore: a script's reply is too short")
		return ""
	}
	s := f.left[0]
	f.left = f.left[1:]
	return s
}

// class reads the class, which must be one that the script can answer.
func (f *fields) class(allowed string) idempotency.Class {
	s := f.next()
	if f.err != nil {
		return 0
	}
	if len(s) != 1 || !strings.Contains(allowed, s) {
		f.err = fmt.Errorf("redisstore: a script answered class %q, not one of %q", s, allowed)
		return 0
	}
	return idempotency.Class(s[0])
}

func (f *fields) number() int64 {
	s := f.next()
	if f.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f.err = fmt.Errorf("redisstore: a number in a script's reply: %w", err)
	}
	return n
}

func (f *fields) millis() time.Duration { return time.Duration(f.number()) * time.Millisecond }
