package idempotency

import (
	"time"

	"github.com/holdfast-go/holdfast"
)

// Hooks is how metrics, traces and logs watch the claims. Each field may be nil.
// Hooks are called from the goroutines that work, several at once: they must be
// quick, must not block and must not panic.
type Hooks struct {
	// Claimed is called for each answer to a claim; the next four tell the same of one
	// kind of answer.
	Claimed func(ClaimedEvent)
	// TakenOver is called when a claim was made after an earlier run of the key failed,
	// was given back, or ended with its process.
	TakenOver func(TakenOverEvent)
	// Duplicate is called when a message's work was found done. It is deleted without
	// a run, unless Config.Mode is Observe.
	Duplicate func(DuplicateEvent)
	// Busy is called when a message's key was found held elsewhere.
	Busy func(BusyEvent)
	// Mismatch is called when a key was found used for another payload; Config.Mismatch
	// says what follows.
	Mismatch func(MismatchEvent)
	// Poisoned is called when the attempts of a message are used up, and it is
	// dead-lettered.
	Poisoned func(PoisonedEvent)
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
	// Parked is called when a message that cannot run now is to wait without a slot:
	// for a twin that holds its key, for the store, or for its turn to run alone.
	Parked func(ParkedEvent)
	// Unprotected is called when a handler runs without a claim because the store
	// does not answer (Config.StoreDown is FailOpen).
	Unprotected func(UnprotectedEvent)
	// StoreFailed is called for each call of the store that failed.
	StoreFailed func(StoreFailedEvent)
	// StoreDown is called when the store is taken for down, after three failed calls
	// in a row. Receiving stops.
	StoreDown func(StoreDownEvent)
	// StoreUp is called when it takes writes again. Receiving goes on.
	StoreUp func(StoreUpEvent)
}

// ClaimedEvent tells of an answered claim.
type ClaimedEvent struct {
	Message *holdfast.Message
	Key     string
	// Class is ClassNew, ClassTakeover or ClassOwn where the handler runs,
	// ClassDone for a duplicate of finished work, ClassBusy for one of work in
	// progress, ClassMismatch for a key with another payload, ClassAlone for a message
	// that is to run alone.
	Class Class
	Fence int64
	// Attempts is the count of claims, Left what remains of the holder's lease,
	// Duplicates how often the key was found busy; see ClaimReply.
	Attempts   int
	Left       time.Duration
	Duplicates int
}

// TakenOverEvent tells of a claim that was not the first.
type TakenOverEvent struct {
	Message *holdfast.Message
	Key     string
	Fence   int64
	// Attempts is the count of claims, this one included.
	Attempts int
	// Deaths counts the claims in a row before it that ended with their process; 0
	// after a run that failed or was given back.
	Deaths int
}

// DuplicateEvent tells of work that was done before.
type DuplicateEvent struct {
	Message *holdfast.Message
	Key     string
	// Here is set where this process remembered it, so that it cost the store nothing.
	Here bool
}

// BusyEvent tells of work that someone else is at.
type BusyEvent struct {
	Message *holdfast.Message
	Key     string
	// Left is what remains of the holder's lease, Duplicates how often the key was found
	// busy under it.
	Left       time.Duration
	Duplicates int
}

// MismatchEvent tells of a key with two payloads.
type MismatchEvent struct {
	Message *holdfast.Message
	Key     string
	// Fence is that of the key's last claim.
	Fence int64
}

// PoisonedEvent tells of a message that has no attempts left.
type PoisonedEvent struct {
	Message *holdfast.Message
	Key     string
	// Attempts is how many it had.
	Attempts int
	// Deaths counts the claims in a row that ended with their process.
	Deaths int
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

// ParkedEvent tells of a message that waits without a slot.
type ParkedEvent struct {
	Message *holdfast.Message
	Key     string
	// Here is set where what it waits for runs in this process, which costs the store
	// nothing.
	Here bool
	// Why wraps ErrBusy where it waits for a twin, ErrStore where for the store, ErrAlone
	// where for a message that is alone, or is to be.
	Why error
}

// UnprotectedEvent tells of a run without a claim.
type UnprotectedEvent struct {
	Message *holdfast.Message
	Key     string
	// Why wraps ErrStore.
	Why error
}

// StoreDownEvent tells of the begin of an outage.
type StoreDownEvent struct {
	// Err is the error of the last call.
	Err error
}

// StoreUpEvent tells of its end.
type StoreUpEvent struct {
	// Down is how long it lasted.
	Down time.Duration
}

// StoreFailedEvent tells of a failed call.
type StoreFailedEvent struct {
	// Message is nil where the failed call was for a message that is settled
	// (Config.PostDeleteTTL, FailOpen), or for many that wait. Key is empty for many.
	Message *holdfast.Message
	Key     string
	// Op is claim, extend, complete, release or poll.
	Op  string
	Err error
}

func (h *Hooks) claimed(e ClaimedEvent) {
	if h.Claimed != nil {
		h.Claimed(e)
	}
}

// answered tells of an answer to a claim.
func (h *Hooks) answered(m *holdfast.Message, key string, reply ClaimReply) {
	h.claimed(ClaimedEvent{
		Message: m, Key: key, Class: reply.Class, Fence: reply.Fence,
		Attempts: reply.Attempts, Left: reply.Left, Duplicates: reply.Duplicates,
	})
	switch reply.Class {
	case ClassTakeover:
		if h.TakenOver != nil {
			h.TakenOver(TakenOverEvent{Message: m, Key: key, Fence: reply.Fence, Attempts: reply.Attempts, Deaths: reply.Deaths})
		}
	case ClassDone:
		h.duplicate(DuplicateEvent{Message: m, Key: key})
	case ClassBusy:
		if h.Busy != nil {
			h.Busy(BusyEvent{Message: m, Key: key, Left: reply.Left, Duplicates: reply.Duplicates})
		}
	case ClassMismatch:
		if h.Mismatch != nil {
			h.Mismatch(MismatchEvent{Message: m, Key: key, Fence: reply.Fence})
		}
	}
}

func (h *Hooks) duplicate(e DuplicateEvent) {
	if h.Duplicate != nil {
		h.Duplicate(e)
	}
}

func (h *Hooks) poisoned(e PoisonedEvent) {
	if h.Poisoned != nil {
		h.Poisoned(e)
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

func (h *Hooks) parked(e ParkedEvent) {
	if h.Parked != nil {
		h.Parked(e)
	}
}

func (h *Hooks) unprotected(e UnprotectedEvent) {
	if h.Unprotected != nil {
		h.Unprotected(e)
	}
}

func (h *Hooks) storeDown(err error) {
	if h.StoreDown != nil {
		h.StoreDown(StoreDownEvent{Err: err})
	}
}

func (h *Hooks) storeUp(down time.Duration) {
	if h.StoreUp != nil {
		h.StoreUp(StoreUpEvent{Down: down})
	}
}
