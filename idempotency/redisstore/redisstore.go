// Package redisstore is the idempotency.Store on Redis 6.0 or newer, or a server
// that speaks the same: one packed string per key, small Lua scripts, one key per
// script, so that keys spread over a cluster.
//
// Redis decides by its own clock (TIME); clients' clocks are never compared. What
// a failover of asynchronous replication loses, the protocol meets with fences
// that also grow over a lost record; Options.Durability narrows the loss.
//
// # Round trips
//
// Calls of all goroutines share pipelines, one per node: while one is under way the
// next gathers, and leaves when the former is back. Nothing lingers, so a lone call
// takes one round trip, and a hundred workers take one together. Every call keeps
// to its own context: to the millisecond where the deadline is less than 150 ms away,
// else as soon as a round trip has taken 50 ms. A round trip that takes longer than Options.Timeout is given
// up; its calls may have been applied, and their tokens make it harmless to repeat
// them. The goroutine that sends lives only while there is something to send.
//
// # The client
//
// Give it a client of its own, made with timeouts far below the visibility
// timeout: go-redis's defaults (5 s to read, contexts not heeded) can hold one call
// for most of a lease. Good values are
//
//	redis.NewClient(&redis.Options{
//		Addr:                  "localhost:6379",
//		DialTimeout:           time.Second,
//		DialerRetries:         1,
//		ReadTimeout:           500 * time.Millisecond,
//		WriteTimeout:          500 * time.Millisecond,
//		PoolTimeout:           time.Second,
//		ContextTimeoutEnabled: true,
//	})
//
// and the same for Sentinel (redis.NewFailoverClient) and for a cluster
// (redis.NewClusterClient). Check tells what to change. MaxRetries does not matter:
// go-redis repeats none of these calls. The store does so itself, at most twice and
// at once, where a connection broke or a server has forgotten a script.
//
// The user needs the commands EVALSHA, EVAL, GET, SET, DEL, PTTL and TIME on its
// keys, better also SCRIPT LOAD, and INFO for Check; WAIT where Durability is set.
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
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency"
)

// Options are what can be chosen about a Store. The zero value is good.
type Options struct {
	// Timeout bounds each group of calls, repetitions at the same node included. 0
	// takes the default; 10 ms to 1 minute. Default: 1 s.
	Timeout time.Duration
	// Durability says which calls wait for replicas. Default: none.
	Durability Durability
}

// Durability says which calls must have reached replicas before they count.
//
// Redis replicates asynchronously: a failover can lose what was written last. With
// this the store sends WAIT behind each batch, on the same connection, and takes no
// call for done that too few replicas acknowledged. It makes losses rarer; Redis's
// documentation says that it "does not make Redis a strongly consistent store".
// The price is one replication round trip per batch.
type Durability struct {
	// Replicas is how many replicas must have acknowledged; 0 waits for none, at
	// most 16. A master with fewer replicas completes nothing. Default: 0.
	Replicas int
	// Timeout is how long the server waits for them. 0 takes the default; at least
	// 1 ms, and less than both Options.Timeout and the client's ReadTimeout.
	// Default: 100 ms.
	Timeout time.Duration
	// All waits for claims and extensions too. Otherwise only completions and
	// releases wait: nothing takes back that a message was deleted on a completion,
	// while a lost claim is claimed again under a greater fence. Default: false.
	All bool
}

const (
	defaultTimeout = time.Second
	defaultWait    = 100 * time.Millisecond
)

// Store is an idempotency.Store on Redis. Make one with New or NewWithOptions; the
// zero value answers every call with an error wrapping ErrClient. Safe for
// concurrent use. There is nothing to close but the client.
type Store struct {
	single  *redis.Client        // one of the two
	cluster *redis.ClusterClient // is set
	opts    Options
	err     error // why the store cannot be used

	routes routes
	ops    ops
	stats  stats
	like   atomic.Pointer[string] // what keys begin with
}

var (
	_ idempotency.Store   = (*Store)(nil)
	_ holdfast.Starter    = (*Store)(nil)
	_ holdfast.Validator  = (*Store)(nil)
	_ idempotency.Checker = (*Store)(nil)
)

// New returns a store on rdb with the default Options: a *redis.Client (Sentinel's
// too) or a *redis.ClusterClient. It does no I/O. A client that cannot serve, as a
// *redis.Ring, which moves keys between servers when one fails, is told by
// Validate, which the consumer's constructor calls.
func New(rdb redis.UniversalClient) *Store {
	return NewWithOptions(rdb, Options{})
}

// NewWithOptions is New with Options. What is wrong with them is told by Validate.
func NewWithOptions(rdb redis.UniversalClient, o Options) *Store {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Durability.Timeout == 0 {
		o.Durability.Timeout = defaultWait
	}
	s := &Store{opts: o}
	errs := []error{o.validate()}
	unsuitable := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrClient}, args...)...))
	}
	if v := reflect.ValueOf(rdb); rdb == nil {
		unsuitable("it is nil")
	} else if v.Kind() == reflect.Pointer && v.IsNil() {
		unsuitable("it is a nil %T", rdb)
	} else {
		switch rdb := rdb.(type) {
		case *redis.Client:
			s.single = rdb
			s.routes.solo = &lane{store: s, client: rdb}
		case *redis.ClusterClient:
			s.cluster = rdb
			s.routes.last = &lane{store: s}
			s.routes.lanes = make(map[*redis.Client]*lane)
			errs = append(errs, clusterErr(rdb.Options()))
		case *redis.Ring:
			unsuitable("a *redis.Ring gives a key to another server when one fails, " +
				"so that two may hold it; use a cluster or Sentinel client")
		default:
			unsuitable("a %T is not known here; give the *redis.Client or *redis.ClusterClient itself", rdb)
		}
	}
	if s.single != nil || s.cluster != nil {
		errs = append(errs, s.waitErr())
	}
	s.err = errors.Join(errs...)
	return s
}

// validate returns all problems of Options that have their defaults.
func (o Options) validate() error {
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, fmt.Errorf("redisstore: Options.%s is %v, must be %s", field, value, bound))
	}
	if o.Timeout < 10*time.Millisecond || o.Timeout > time.Minute {
		bad("Timeout", o.Timeout, "0 or 10ms to 1m")
	}
	d := o.Durability
	if d.Replicas < 0 || d.Replicas > 16 {
		bad("Durability.Replicas", d.Replicas, "0 to 16")
	}
	if d.Timeout < time.Millisecond || d.Replicas > 0 && d.Timeout >= o.Timeout {
		bad("Durability.Timeout", d.Timeout, fmt.Sprintf("0, or at least 1ms and less than Timeout (%v)", o.Timeout))
	}
	if d.All && d.Replicas == 0 {
		bad("Durability.All", true, "false where Durability.Replicas is 0")
	}
	return errors.Join(errs...)
}

// Validate returns why the store cannot be used, wrapping ErrClient where that is
// the client's fault.
func (s *Store) Validate() error {
	if s.single == nil && s.cluster == nil && s.err == nil {
		return fmt.Errorf("%w: the store was not made with New", ErrClient)
	}
	return s.err
}

// Start gives the scripts to every master, so that no first call has to. A server
// that does not answer is no error: whoever needs a script later gives it then. It
// starts no goroutine that outlives it, and a store also works without.
func (s *Store) Start(ctx context.Context, _ holdfast.Queue) error {
	if err := s.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	clients, err := s.masters(ctx)
	if err != nil {
		return nil // the middleware's checks and its gate tell of a store that is away
	}
	each(ctx, clients, func(c *redis.Client) {
		_, _ = c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, script := range scripts {
				p.ScriptLoad(ctx, script.source)
			}
			return nil
		})
	})
	return nil
}
