// Package idempotency makes the effect of a message happen once, although SQS and
// SNS deliver it at least once.
//
// # What it promises
//
//   - At most one live holder per key: a handler runs under a claim, and while its
//     lease holds no other handler runs for the same key, in this process or any
//     other. When the lease is lost the handler's context is cancelled with cause
//     holdfast.ErrLeaseLost before anyone else may start. Cancelling is
//     cooperative, and a process that was frozen may wake after its lease.
//   - Done once: when a handler returned nil, that is recorded before the message
//     is deleted, and no handler runs again for the key while the record lives
//     (Config.DoneTTL).
//   - Fences: each claim of a key carries a greater number than all before it. A
//     system that refuses a smaller fence than it has seen is safe from the frozen
//     process as well.
//
// It is not "exactly once". A crash between the effect and its record repeats the
// effect; only the key in the same transaction as the effect, or given to a system
// that knows keys, closes that gap. A fence stops what comes late, from a process that
// was frozen. examples/effects shows a handler for each. Deduplication is per store:
// two stores in two regions know nothing of each other.
//
// # How it works
//
// Each message has a key, from the strongest source it offers (see Config). Before
// the handler runs, the middleware claims the key in a Store, for a lease that ends
// a margin before the message can become visible again; so after a crash whoever
// receives the message next finds the key free. The lease moves along with the
// message's visibility for as long as the handler works. A duplicate of finished
// work is deleted. One of work in progress waits without a slot (holdfast.Park), at
// the cost of no receive: of work in this process without a call of the store, of
// work elsewhere with one poll now and then for all that wait. When its twin is done
// it is deleted, and when that died or failed it is claimed where it waits.
//
// The middleware is a holdfast.Gate: while the store does not answer nothing is
// received. What is held waits, handlers go on while SQS hides their message
// (Config.OutageGrace), and what is done is kept until that is recorded. When the
// store is back work begins again over five seconds.
//
// Store is the contract, redisstore keeps it on Redis, NewMemoryStore in memory, and
// package storetest tests any implementation.
package idempotency

import "errors"

// Errors of the middleware's handler. All are wrapped, with the key in the text.
var (
	// ErrBusy says that another delivery holds the key. The message waits for that
	// without a slot, or comes back later where no more can wait. Nothing to do.
	ErrBusy = errors.New("idempotency: key is held by another delivery")
	// ErrMismatch says that the key was used before for another payload: two
	// messages share a key by mistake. The message is dead-lettered; mend the
	// producer's keys.
	ErrMismatch = errors.New("idempotency: key was used for another payload")
	// ErrNoKey says that the configured source gave a message no key. By default
	// the message is dead-lettered; see Config.MissingKey.
	ErrNoKey = errors.New("idempotency: message has no key")
	// ErrPoison says that a message's attempts are used up (Config.MaxAttempts), by
	// failures or because it ended its process each time. It is dead-lettered. Mend the
	// handler, then move the message back: it begins a new life.
	ErrPoison = errors.New("idempotency: attempts are used up")
	// ErrAlone says that a message waits because it ended two processes and is to run
	// alone, or because another such message is about to, or does. Nothing to do but to
	// look after that message.
	ErrAlone = errors.New("idempotency: process is kept for one message")
	// ErrStore says that the store did not answer, so the handler was not run. The
	// message waits for the store, or is tried again with a backoff. Look after the
	// store.
	ErrStore = errors.New("idempotency: store failed")
	// ErrUnrecorded says that the handler was done but the store would not record
	// it while the message was held. The message stays, so the handler will run
	// again for it.
	ErrUnrecorded = errors.New("idempotency: handler is done, but that could not be recorded")
	// ErrUnavailable is wrapped by the errors of a Store that cannot be reached or
	// cannot write now: the network, a failover, a server out of memory or read-only.
	// The middleware takes every error of a store for an outage but that of a bad
	// request and ErrBadRecord. Look after the store.
	ErrUnavailable = errors.New("idempotency: store is unavailable")
)
