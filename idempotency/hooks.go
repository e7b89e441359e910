package idempotency

import (
	"time"

	"github.com/holdfast-go/holdfast"
)

// Hooks is how metrics, traces and logs watch the claims. Each field may be nil.
// Hooks are called from the goroutines that work, several at once: they must be
// quick, must not block and must not panic.
type Hooks struct {
	// Claimed is called for each answer to a claim.
	Claimed func(ClaimedEvent)
	// Lost is called when a claim ends under its handler.
	Lost func(LostEvent)
	// RecordLost is called when a record was gone from the store and was written
	// again: an eviction, a flush or a failover.
	RecordLost func(RecordLostEvent)
	// DoubleExecution is called when a handler was done for a key that someone
	// else has claimed or completed meanwhile: its effect may have happened twice
	// where it was not behind the fence.
	DoubleExecution func(DoubleExecutionEvent)
	// Unkeyed is called when a handler runs unprotected because its message has no key
	// (Config.MissingKey is RunUnkeyed).
	Unkeyed func(UnkeyedEvent)
	// StoreFailed is called for each call of the store that failed.
	StoreFailed func(StoreFailedEvent)
}

// ClaimedEvent tells of an answered claim.
type ClaimedEvent struct {
	Message *holdfast.Message
	Key     string
	// Class is ClassNew, ClassTakeover or ClassOwn where the handler runs,
	// ClassDone for a duplicate of finished work, ClassBusy for one of work in
	// progress, ClassMismatch for a key with another payload.
	Class Class
	Fence int64
	// Attempts is the count of claims, Left what remains of the holder's lease,
	// Duplicates how often the key was found busy; see ClaimReply.
	Attempts   int
	Left       time.Duration
	Duplicates int
}

// LostEvent tells of a claim that ended before its handler.
type LostEvent struct {
	Message *holdfast.Message
	Key     string
	Fence   int64
	// Err wraps holdfast.ErrLeaseLost and says why.
	Err error
}

// RecordLostEvent tells of a record that was gone.
type RecordLostEvent struct {
	Message *holdfast.Message
	Key     string
	Fence   int64
}

// DoubleExecutionEvent tells of work that someone else did as well.
type DoubleExecutionEvent struct {
	Message *holdfast.Message
	Key     string
	// Fence is this run's, Newer that of the record as it was found.
	Fence, Newer int64
}

// UnkeyedEvent tells of a run without a key.
type UnkeyedEvent struct {
	Message *holdfast.Message
	// Why wraps ErrNoKey and says what is missing.
	Why error
}

// StoreFailedEvent tells of a failed call.
type StoreFailedEvent struct {
	// Message is nil where the failed call was to shorten the memory of a message
	// that is settled (Config.PostDeleteTTL).
	Message *holdfast.Message
	Key     string
	// Op is claim, extend, complete or release.
	Op  string
	Err error
}

func (h *Hooks) claimed(e ClaimedEvent) {
	if h.Claimed != nil {
		h.Claimed(e)
	}
}

func (h *Hooks) lost(e LostEvent) {
	if h.Lost != nil {
		h.Lost(e)
	}
}

func (h *Hooks) recordLost(e RecordLostEvent) {
	if h.RecordLost != nil {
		h.RecordLost(e)
	}
}

func (h *Hooks) doubleExecution(e DoubleExecutionEvent) {
	if h.DoubleExecution != nil {
		h.DoubleExecution(e)
	}
}

func (h *Hooks) storeFailed(e StoreFailedEvent) {
	if h.StoreFailed != nil {
		h.StoreFailed(e)
	}
}

func (h *Hooks) unkeyed(e UnkeyedEvent) {
	if h.Unkeyed != nil {
		h.Unkeyed(e)
	}
}
