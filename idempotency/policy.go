package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/idempotency/internal/solo"
)

// Source is what keys are derived from.
type Source uint8

const (
	// SourceStrongest takes, for each message, the first of the next five that it has:
	// SourceCloudEvent, SourceEvent, SourceSNS, SourceFIFO, SourceSQS.
	SourceStrongest Source = iota
	// SourceCloudEvent is source and id of a CloudEvent: the attributes ce-source and
	// ce-id, or ce_source and ce_id. They outlive everything that happens to a message.
	SourceCloudEvent
	// SourceEvent is the id of the event of EventBridge or S3 that the body is.
	SourceEvent
	// SourceSNS is the topic and the SNS message id, of messages in an SNS envelope.
	// They outlive retries of SNS, replays of an archive and redrives.
	SourceSNS
	// SourceFIFO is the FIFO queue, the group and the deduplication id. A redrive
	// changes the last: a message whose effect was done would be worked on again.
	SourceFIFO
	// SourceSQS is the SQS message id: another one for each send and each redrive.
	SourceSQS
	// SourcePayload is a hash of the body. It is never taken unless it is asked for,
	// since it drops what was rightly sent twice, as two equal orders are.
	SourcePayload
)

var sourceNames = [...]string{
	"the strongest source", "CloudEvents attributes (ce-source and ce-id)", "an event of EventBridge or S3",
	"an SNS envelope", "a FIFO deduplication id", "an SQS message id", "a payload",
}

// String returns the source in words.
func (s Source) String() string { return word8(sourceNames[:], uint8(s)) }

// MissingKey is a policy for messages without a key.
type MissingKey uint8

const (
	// RejectUnkeyed dead-letters the message with ErrNoKey, because the protection
	// that was asked for is not there.
	RejectUnkeyed MissingKey = iota
	// RunUnkeyed runs the handler without a claim, unprotected from duplicates. The
	// handler sees no Claim; Hooks.Unkeyed counts.
	RunUnkeyed
	// DeriveKey derives the key by Source, as for a message of which no key was asked.
	DeriveKey
)

// Mismatch is a policy for messages that come with a known key and another payload.
type Mismatch uint8

const (
	// RejectMismatch dead-letters the message with ErrMismatch: two messages share a
	// key by mistake.
	RejectMismatch Mismatch = iota
	// RunMismatch takes it for other work, under a key made of its own and the payload.
	RunMismatch
	// IgnoreMismatch takes it for a duplicate all the same, for payloads that differ in
	// what does not matter, such as the time of sending. Hooks.Mismatch tells of each.
	IgnoreMismatch
)

// Poison is a policy for messages whose attempts are used up.
type Poison uint8

const (
	// Explicit has the middleware answer holdfast.Permanent, so that the runtime moves
	// the message to the dead-letter queue with its cause.
	Explicit Poison = iota
	// Native goes on until the maxReceiveCount of the queue is reached and SQS moves
	// the message itself.
	Native
)

// Mode says what the middleware does about what it sees.
type Mode uint8

const (
	// Enforce suppresses duplicates.
	Enforce Mode = iota
	// Observe keeps the records and tells hooks what it would have done, but runs
	// every handler as if it were not there: nothing is suppressed, waits, is
	// cancelled or dead-lettered, and a store that fails stops nothing. It is for
	// trying the middleware in production first.
	Observe
)

// Process is what runs together and would die together. All middleware of a
// program share one unless Config.Process says otherwise. Safe for concurrent use;
// the zero value works.
type Process struct{ solo solo.Process }

// theProcess is the program.
var theProcess = new(Process)

func (c Config) validatePolicies(bad func(field string, value any, bound string)) {
	if c.Source > SourcePayload {
		bad("Source", uint8(c.Source), "one of the Source constants")
	}
	if c.MissingKey > DeriveKey {
		bad("MissingKey", c.MissingKey, "RejectUnkeyed, RunUnkeyed or DeriveKey")
	}
	asked := c.Key != nil || c.KeyAttribute != ""
	if c.MissingKey == DeriveKey && !asked {
		bad("MissingKey", "DeriveKey", "another policy where neither Key nor KeyAttribute is set: keys are derived anyway")
	}
	if c.Source != SourceStrongest && asked && c.MissingKey != DeriveKey {
		bad("Source", c.Source, "0 where Key or KeyAttribute is set, unless MissingKey is DeriveKey: nothing is derived")
	}
	if len(c.ReplayEpoch) > 64 {
		bad("ReplayEpoch", fmt.Sprintf("%d characters long", len(c.ReplayEpoch)), "at most 64")
	}
	if c.Mismatch > IgnoreMismatch {
		bad("Mismatch", c.Mismatch, "RejectMismatch, RunMismatch or IgnoreMismatch")
	}
	if c.Mismatch != RejectMismatch && c.SkipPayloadCheck {
		bad("Mismatch", c.Mismatch, "0 with SkipPayloadCheck: payloads are not compared")
	}
	if c.MaxAttempts < 0 || c.MaxAttempts > 1000 {
		bad("MaxAttempts", c.MaxAttempts, "0 to 1,000")
	}
	if c.Poison > Native {
		bad("Poison", c.Poison, "Explicit or Native")
	}
	if c.Mode > Observe {
		bad("Mode", c.Mode, "Enforce or Observe")
	}
	if c.LocalDone < -1 || c.LocalDone > 10_000_000 {
		bad("LocalDone", c.LocalDone, "-1 to 10,000,000")
	}
}

// spared is how many receives of a message that kills its process are no attempts:
// two deaths beside others, and the one that finds the attempts used up.
const spared = 3

// maxAttempts is the number of attempts that ends a life; 0 means no number.
func (c Config) maxAttempts(q holdfast.Queue) int {
	if c.MaxAttempts > 0 {
		return c.MaxAttempts
	}
	return max(q.MaxReceiveCount-spared, min(q.MaxReceiveCount, 3))
}

func word8(names []string, n uint8) string {
	if int(n) < len(names) {
		return names[n]
	}
	return fmt.Sprintf("unknown (%d)", n)
}

// What becomes of messages that fail again and again, or end the process that runs
// them: those run alone, and both are dead-lettered once their attempts are used up.

// enter lets the run into the process. Where something runs alone there, or is about
// to, it returns what the message waits for.
func (r *run) enter(ctx context.Context) (wait <-chan struct{}) {
	if _, nested := FromContext(ctx); nested {
		r.nested = true // in the run of another middleware, which has entered
		return nil
	}
	r.solo, wait = r.mw.cfg.Process.solo.Enter(r.id.key)
	r.inside = wait == nil
	return wait
}

func (r *run) leave() {
	if r.inside {
		r.inside = false
		r.mw.cfg.Process.solo.Leave()
	}
}

// isolate makes this run the only one of its process, or returns what it waits for.
func (r *run) isolate(lease holdfast.Lease) (wait <-chan struct{}) {
	if !r.nested {
		r.leave()
		wait = r.mw.cfg.Process.solo.Alone(r.id.key, func() bool { return lease == nil || lease.Err() == nil })
		r.inside = wait == nil
	}
	r.solo = wait == nil
	return wait
}

// waitForProcess parks the message until it is alone in its process, or until whoever
// is alone has ended.
func (r *run) waitForProcess(wait <-chan struct{}, what string) error {
	why := fmt.Errorf("%w: %s %s", ErrAlone, r.id.key, what)
	r.mw.cfg.Hooks.parked(ParkedEvent{Message: r.m, Key: r.id.key, Here: true, Why: why})
	return holdfast.Park(wait, r.later(why))
}

// claimOrWait claims the key by the policies: once more alone where it must be, and
// for a mismatch under another key or without a look at the payload.
func (r *run) claimOrWait(ctx context.Context, lease holdfast.Lease) (reply ClaimReply, sent time.Time, err error) {
	for {
		reply, sent, err = r.claim(ctx, lease)
		switch {
		case err != nil:
			return reply, sent, err
		case reply.Class == ClassAlone && !r.solo:
			if wait := r.isolate(lease); wait != nil {
				return reply, sent, r.waitForProcess(wait, fmt.Sprintf("ended %d processes, and is to run alone", reply.Deaths))
			}
		case reply.Class == ClassMismatch && r.mw.cfg.Mismatch == RunMismatch && !r.other:
			r.other = true
			r.id.key = keyID(r.mw.prefix, tagMismatch, r.id.key, r.id.phash)
			if lease != nil {
				lease.SetKey(r.id.key)
			}
		case reply.Class == ClassMismatch && r.mw.cfg.Mismatch == IgnoreMismatch && r.id.phash != "":
			r.id.phash = ""
		default:
			r.attempts = reply.Attempts
			if reply.Class == ClassNew {
				// Where the record is lost the receives are the best count there is.
				r.attempts = max(r.attempts, r.receives)
			}
			return reply, sent, nil
		}
	}
}

// dead answers for a message that was claimed although its attempts are used up: its
// process died with it, or it panicked, each time.
func (r *run) dead(ctx context.Context, h *hold, reply ClaimReply) error {
	r.mw.cfg.Hooks.poisoned(PoisonedEvent{Message: r.m, Key: r.id.key, Attempts: reply.Attempts - 1, Deaths: reply.Deaths})
	if r.release(ctx, h, ResetAttempts) == ClassStolen {
		return fmt.Errorf("%w: claim of %s was taken over", holdfast.ErrLeaseLost, r.id.key)
	}
	return holdfast.Permanent(fmt.Errorf("%w: %s: %d attempts are used up, %d claims in a row ended with their process",
		ErrPoison, r.id.key, reply.Attempts-1, reply.Deaths))
}

// usedUp tells whether err is the last failure that its message has. Where no number
// was asked for, failures are left to the runtime, which dead-letters on the last
// receive; so are bodies that cannot be decoded or have no route, always.
func (r *run) usedUp(err error) bool {
	if r.mw.cfg.Poison != Explicit || r.mw.cfg.MaxAttempts == 0 || r.attempts < r.lives {
		return false
	}
	var decode *holdfast.DecodeError
	var route *holdfast.RouteError
	return !errors.As(err, &decode) && !errors.As(err, &route)
}

// isDead tells whether a message that was claimed has no attempts left. Where no
// number was asked for, only one whose process died under it can have none.
func (r *run) isDead(reply ClaimReply) bool {
	return r.mw.cfg.Poison == Explicit && r.lives > 0 && reply.Attempts > r.lives && (r.mw.cfg.MaxAttempts > 0 || reply.Deaths > 0)
}
