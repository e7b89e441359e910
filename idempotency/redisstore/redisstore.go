// Package redisstore is the idempotency.Store on Redis 6.0 or newer, or a server
// that speaks the same: one packed string per key, four Lua scripts, one key per
// script, so that keys spread over a cluster.
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
		r.PayloadHash, r.Hard.Milliseconds(), r.Life, r.MaxAttempts)
	reply := idempotency.ClaimReply{Class: f.class("NTOBCM"), Fence: f.number()}
	if f.err == nil && reply.Class != idempotency.ClassDone && reply.Class != idempotency.ClassMismatch {
		reply.Left = f.millis()
		reply.HardLeft = f.millis()
		reply.Attempts = int(f.number())
		reply.Duplicates = int(f.number())
		reply.Deadline = idempotency.Instant(f.number())
		reply.Hard = idempotency.Instant(f.number())
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
		int64(r.LastDeadline), r.Attempts, r.PayloadHash, r.Life, int64(r.Hard))
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

// run calls a script by its hash, and in full where the server does not know it
// (after a restart or a failover). go-redis repeats a call whose connection broke;
// the token makes that harmless.
func (s *Store) run(ctx context.Context, op string, script *redis.Script, key string, args ...any) *fields {
	f := &fields{}
	if f.err = s.Validate(); f.err != nil {
		return f
	}
	f.left, f.err = script.Run(ctx, s.rdb, []string{key}, args...).StringSlice()
	switch {
	case f.err == nil:
	case strings.Contains(f.err.Error(), "BADRECORD"), strings.Contains(f.err.Error(), "WRONGTYPE"):
		// The second is Redis's own word for a key that is not even a string.
		f.err = fmt.Errorf("redisstore: %s %q: %w: %w", op, key, idempotency.ErrBadRecord, f.err)
	default:
		f.err = fmt.Errorf("redisstore: %s %q: %w", op, key, f.err)
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
