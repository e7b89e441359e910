// Package holdfast runs background workers on Amazon SQS.
//
// # Delivery semantics first
//
// A handler runs at least once for every message. With the idempotency
// middleware, and while its record survives, no handler runs again for a key
// once its completion is recorded, and at most one handler holds a key at a
// time; where an effect must not happen twice even if a process freezes in the
// middle of it, the handler gives the fence to the system that it changes.
// Nothing here is "exactly once".
//
// A message is deleted from its queue only after its handler returned nil or
// [Discard], after its key was found done, or after the dead-letter queue
// accepted a copy. At every other point, a crash included, it comes back.
//
// # The pieces
//
// This package is the vocabulary and imports the standard library only:
//
//   - [Message], [Handler] and [Middleware] are to a queue what Request, Handler
//     and middleware are to an HTTP server; [JSON] makes a Handler of a plain
//     function, [Mux] routes.
//   - The outcome verbs [Permanent], [RetryAfter], [Discard] and [Park] are
//     errors a handler returns to say what becomes of its message.
//   - [Lease] is the hold on the message while it is worked on, found in the
//     handler's context.
//   - [Gate], [Validator], [Starter] and [Settler] are what a middleware may
//     implement beside Wrap.
//   - [Hooks] is how metrics, traces and logs watch a consumer.
//   - [Run] runs several consumers as one program.
//
// Package consumer is the runtime, package idempotency makes effects happen
// once, package sqstest is an SQS inside the test process.
package holdfast
