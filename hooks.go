package holdfast

import "time"

// Hooks is how metrics, traces and logs watch a consumer. Each field may be nil.
// Hooks are called from the runtime's own goroutines, several at once: they must
// be quick, must not block, and must not write to what an event points to. A
// panic in a hook is recovered and logged; they must not call runtime.Goexit, as
// t.FailNow does.
type Hooks struct {
	// Received is called for each message that a receive brought.
	Received func(ReceivedEvent)
	// Started and Finished are called around each run of the chain.
	Started  func(StartedEvent)
	Finished func(FinishedEvent)
	// Settled is called once SQS confirmed a delete, a give-back or the delete
	// behind a dead-lettering.
	Settled func(SettledEvent)
	// Extended is called for each batch of extensions.
	Extended func(ExtendedEvent)
	// LeaseLost is called when the hold on a message is lost. While the handler runs,
	// the event has a copy of the message, as it was received.
	LeaseLost func(LeaseLostEvent)
	// PollFailed is called for each failed receive.
	PollFailed func(PollFailedEvent)
	// Parked is called when a message gives up its slot by Park.
	Parked func(ParkedEvent)
	// DeadLettered is called when the dead-letter queue accepted a message, and
	// when one that should go there could not (Err is then set).
	DeadLettered func(DeadLetteredEvent)
	// Abandoned is called when a handler still runs a minute after it was
	// cancelled, and for one that outlives the stop of the consumer. The event has a
	// copy of the message, as it was received.
	Abandoned func(AbandonedEvent)
	// Gate is called when receiving stops and when it goes on.
	Gate func(GateEvent)
}

// Outcome is what became of a message.
type Outcome uint8

// The outcomes.
const (
	// Done: the handler returned nil; the message is deleted.
	Done Outcome = iota
	// Discarded: deleted at the handler's word.
	Discarded
	// Retried: kept, to be tried again after a delay.
	Retried
	// GaveBack: visible again at once without a run that counts, as at shutdown.
	GaveBack
	// DeadLettered: moved to the dead-letter queue.
	DeadLettered
	// Unsettled: nothing was done because the hold was lost.
	Unsettled
)

var outcomeNames = [...]string{"done", "discarded", "retried", "gave back", "dead-lettered", "unsettled"}

// String returns the outcome in words.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown outcome"
}

// ReceivedEvent tells of a message that arrived.
type ReceivedEvent struct {
	Message *Message
	// Duplicate is set where a message of this id is held here already: its newer
	// receipt handle went to the holder and it is not dispatched.
	Duplicate bool
}

// StartedEvent tells of a run that begins.
type StartedEvent struct {
	Message *Message
	// Waited is the time since the message arrived here.
	Waited time.Duration
}

// FinishedEvent tells of a run that ended.
type FinishedEvent struct {
	Message *Message
	// Err is what the chain returned, a *PanicError for a panic.
	Err error
	// Took is how long the chain ran.
	Took time.Duration
	// Outcome is what will be done with the message.
	Outcome Outcome
}

// SettledEvent tells of a confirmed settlement.
type SettledEvent struct {
	Message *Message
	Outcome Outcome
	// Err is why the message was not done; nil for Done.
	Err error
	// Delay is how long the message stays invisible where it is retried.
	Delay time.Duration
	// Age is the time from sending to this moment. CloudWatch's age of the oldest
	// message leaves out messages received three times or more; this does not.
	Age time.Duration
}

// ExtendedEvent tells of one ChangeMessageVisibilityBatch that extended holds.
type ExtendedEvent struct {
	// Messages is how many were extended, Failed how many were not.
	Messages, Failed int
	// Err is the error of the call as a whole.
	Err error
}

// LeaseLostEvent tells of a hold that ended before its handler.
type LeaseLostEvent struct {
	Message *Message
	// Err wraps ErrLeaseLost and says why.
	Err error
}

// PollFailedEvent tells of a failed receive.
type PollFailedEvent struct {
	Err error
	// Fatal is set for errors that trying again will not mend: queue missing,
	// access denied. The consumer goes on trying, slowly.
	Fatal bool
	// Failures counts the failures since the last success.
	Failures int
	// Backoff is the wait before the next try.
	Backoff time.Duration
}

// ParkedEvent tells of a message that gave up its slot.
type ParkedEvent struct {
	Message *Message
	// Refused is set where it could not be parked and its fallback applies.
	Refused bool
}

// DeadLetteredEvent tells of a dead-lettering.
type DeadLetteredEvent struct {
	Message *Message
	// Queue is the ARN of the dead-letter queue; empty where there is none.
	Queue string
	// Cause names the rule: permanent, undecodable, no-route, exhausted,
	// retention, max-age, subscription-confirmation.
	Cause string
	// Reason is the handler's error.
	Reason error
	// CauseDropped is set where the message had no room for the cause attribute.
	CauseDropped bool
	// Err is why the message could not be dead-lettered; it was kept.
	Err error
}

// AbandonedEvent tells of a handler that does not end.
type AbandonedEvent struct {
	Message *Message
	// Running is how long it has run.
	Running time.Duration
	// Stack is the stack of its goroutine, as far as it could be told apart.
	Stack string
}

// GateEvent tells that receiving stopped or goes on.
type GateEvent struct {
	// Closed is true when receiving stops.
	Closed bool
	// Why is the gate's reason; nil when it opened.
	Why error
}
