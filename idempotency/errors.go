package idempotency

import "errors"

// Errors of the middleware's handler. All are wrapped, with the key in the text.
var (
	// ErrBusy says that another delivery holds the key. The message is tried again
	// when the holder's lease ends at the latest. Nothing to do.
	ErrBusy = errors.New("idempotency: key is held by another delivery")
	// ErrMismatch says that the key was used before for another payload: two
	// messages share a key by mistake. The message is dead-lettered; mend the
	// producer's keys.
	ErrMismatch = errors.New("idempotency: key was used for another payload")
	// ErrNoKey says that the configured source gave a message no key. By default
	// the message is dead-lettered; see Config.DeriveMissingKey.
	ErrNoKey = errors.New("idempotency: message has no key")
	// ErrStore says that the store did not answer, so the handler was not run. The
	// message is tried again with a backoff. Look after the store.
	ErrStore = errors.New("idempotency: store failed")
	// ErrUnrecorded says that the handler was done but the store would not record
	// it while the message was held. The message stays, so the handler will run
	// again for it.
	ErrUnrecorded = errors.New("idempotency: handler is done, but that could not be recorded")
)
