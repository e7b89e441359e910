package idempotency

import (
	"context"
	"fmt"
	"time"
)

// Store keeps one record per key. Claim, Extend, Complete and Release are the
// whole protocol, Poll, Forget and Probe what goes on beside it; what each must do
// is written at the method, and package storetest holds any implementation to it.
//
// Rules for the four of the protocol:
//
//   - Reading the record, deciding and writing are one atomic step.
//   - Deadlines are reckoned on the store's own clock, never on a caller's.
//   - A method applied twice with the same token answers as one applied once and
//     leaves the same record, because clients repeat calls whose reply was lost.
//     The repetition writes the record again, so that whoever waits for
//     replication after it waits for the record.
//   - Every record has a time to live. It is longer than the lease: fence and
//     attempts outlive a lapsed lease.
//   - A record that cannot be read, such as one of a newer version, is an error
//     wrapping ErrBadRecord and is left as it is. It is never "absent".
//   - A reply of class ClassStolen, ClassMismatch or ClassAlone leaves the record
//     as it was, byte for byte.
//   - An error means that nothing is known: the call may have been applied. One of
//     a store that cannot be reached, or cannot write, wraps ErrUnavailable.
//
// Implementations are safe for use by hundreds of goroutines at once. One that
// also has Validate() error or Start(context.Context, holdfast.Queue) error has
// them called by the middleware's own, and a Checker is asked at start.
type Store interface {
	// Claim asks for the key and answers, in this order:
	//
	//   - ClassMismatch where the record and the request both have a payload hash
	//     and they differ, whatever the state.
	//   - ClassDone where the key is completed.
	//   - ClassOwn where the token holds the key: the claim was made before and its
	//     reply was lost. Left is what remains of the lease and may be 0: the caller
	//     must then extend before it runs.
	//   - ClassBusy where another token holds it and its lease has not lapsed. The
	//     record's count of duplicates goes up by one, its time to live stays.
	//   - ClassAlone where the lease of the holder has lapsed, two or more claims in
	//     a row died like that, and the request is not Alone: the caller claims again
	//     once it runs nothing else.
	//   - ClassNew where there is no record, ClassTakeover where the key is free or
	//     the lease of its holder has lapsed. The claim is then made: the fence is
	//     the greater of the last one plus 1 and the store's clock in microseconds,
	//     so it also grows over a record that was lost; the attempts go up by one.
	//
	// A lapsed claim is a death: it adds one to the deaths, and its attempt is
	// charged only where it ran alone, because otherwise a neighbour may have ended
	// the process. Attempts and deaths start anew where the attempts so counted are
	// MaxAttempts or more and the record belongs to another Life, unless the message was
	// Sent more than a minute before the last claim: a message that was moved back from
	// a dead-letter queue begins a new life, a second copy does not. A key that was released
	// has no deaths.
	Claim(ctx context.Context, r ClaimRequest) (ClaimReply, error)

	// Extend moves the lease of a claim to Lease from now, never back, and answers:
	//
	//   - ClassOwn where it was moved, also after it had lapsed if nobody claimed
	//     the key since.
	//   - ClassRestored where the record was gone and LastDeadline has not passed:
	//     it is written again under the same fence.
	//   - ClassLost where the record was gone and LastDeadline has passed: a newer
	//     claim may have been lost as well, so nothing is written.
	//   - ClassDone where the key is completed, by whomever.
	//   - ClassStolen where the token or the fence is another, or the key is free, or
	//     it is completed for another payload.
	Extend(ctx context.Context, r ExtendRequest) (ExtendReply, error)

	// Complete records that the work is done and answers:
	//
	//   - ClassOwn where it was recorded, or had been by this token. A lapsed lease
	//     does not matter if nobody claimed the key since. The payload hash of the
	//     record is kept.
	//   - ClassRestored where the record was gone: the effect has happened, so it is
	//     recorded all the same.
	//   - ClassDone where another token completed the key.
	//   - ClassStolen where the token or the fence is another, or the key is free, or
	//     it is completed for another payload: the message must not be deleted.
	Complete(ctx context.Context, r CompleteRequest) (CompleteReply, error)

	// Release frees the key after a run that did not complete and answers:
	//
	//   - ClassOwn where it was freed, or had been by this token (the attempts are
	//     then not changed a second time). Fence, payload hash and life are kept.
	//   - ClassLost where the record is gone. Nothing is written.
	//   - ClassStolen otherwise, a completed key included.
	Release(ctx context.Context, r ReleaseRequest) (ReleaseReply, error)

	// Poll looks at the records of keys and changes nothing. It answers one
	// Snapshot per key, in the order of keys, each from one reading of record and
	// clock; several keys are not read at one moment. A record that cannot be read
	// is told by the Err of its snapshot. An error of Poll itself leaves all unknown.
	Poll(ctx context.Context, keys []string) ([]Snapshot, error)

	// Forget deletes the record under key, whatever it is, and reports whether there
	// was one.
	Forget(ctx context.Context, key string) (existed bool, err error)

	// Probe returns nil only where the store would take a write now, on every server
	// that holds keys.
	Probe(ctx context.Context) error
}

// Snapshot is what Poll saw under one key. Its State is 0 where there is no
// record.
type Snapshot struct {
	Record
	// Left and HardLeft are what remains of the lease and of the longest hold
	// possible; 0 unless in progress.
	Left, HardLeft time.Duration
	// TTL is what remains of the record's time to live; 0 where there is none.
	TTL time.Duration
	// Err wraps ErrBadRecord where there is a record that cannot be read.
	Err error
}

// Class is what a store answered. Its value is the letter that stands for it in
// the protocol.
type Class byte

// The classes of replies.
const (
	ClassNew      Class = 'N' // claimed: the first claim of this key
	ClassTakeover Class = 'T' // claimed: an earlier run ended, or lapsed, without completing
	ClassOwn      Class = 'O' // the token holds the claim; for Extend, Complete and Release: applied
	ClassBusy     Class = 'B' // someone else holds the claim
	ClassDone     Class = 'C' // the key is completed
	ClassMismatch Class = 'M' // the key was used for another payload
	ClassAlone    Class = 'A' // earlier claims died with their process: claim it again alone
	ClassLost     Class = 'L' // the record is gone
	ClassRestored Class = 'R' // the record was gone and was written again
	ClassStolen   Class = 'X' // the claim is someone else's by now, or free
)

// String returns the class in words.
func (c Class) String() string {
	switch c {
	case ClassNew:
		return "new"
	case ClassTakeover:
		return "takeover"
	case ClassOwn:
		return "own"
	case ClassBusy:
		return "busy"
	case ClassDone:
		return "done"
	case ClassMismatch:
		return "mismatch"
	case ClassAlone:
		return "to be claimed alone"
	case ClassLost:
		return "lost"
	case ClassRestored:
		return "restored"
	case ClassStolen:
		return "stolen"
	}
	return fmt.Sprintf("unknown class %q", byte(c))
}

// Instant is a moment on the store's clock, in milliseconds since 1970. It is a
// type of its own because comparing it with a local clock is a mistake.
type Instant int64

// ClaimRequest asks for a key. Durations count in whole milliseconds.
type ClaimRequest struct {
	// Key names the record. Required.
	Key string
	// Token is drawn at random for each run of a message; it makes every call of
	// that run repeatable. Required; letters, digits, '-' and '_'.
	Token string
	// Lease is how long the claim holds unless it is extended. At least 1 ms.
	Lease time.Duration
	// Hard is how long the holder can hold at most, extensions included; losers
	// learn it as HardLeft. At least Lease.
	Hard time.Duration
	// TTL is how long the record stays. More than Lease.
	TTL time.Duration
	// PayloadHash is compared with the record's; empty where payloads are not
	// compared. Same characters as Token.
	PayloadHash string
	// Life tells one life of a message from the next: a hash of the SQS message
	// id, which a redrive changes. Same characters as Token; may be empty.
	Life string
	// MaxAttempts is the number of attempts that ends a life. 0 means no number.
	MaxAttempts int
	// Sent is when SQS took the message, by its clock in milliseconds since 1970. It
	// tells a message that was moved back from a copy that was there all the time: only
	// the former was sent after the last claim of the key, clocks a minute apart at most.
	// 0 where it is unknown: another Life is then enough.
	Sent int64
	// Alone says that nothing else will run in the caller's process while this
	// claim lasts: should it die, its attempt is charged.
	Alone bool
}

// ClaimReply answers a ClaimRequest.
type ClaimReply struct {
	Class Class
	// Fence is the fence of the claim; where the key was not claimed, the fence
	// of its last claim.
	Fence int64
	// Left is what remains of the lease of whoever holds the key. Set for
	// ClassNew, ClassTakeover, ClassOwn and ClassBusy.
	Left time.Duration
	// HardLeft is the most that the holder can still hold. Set where Left is.
	HardLeft time.Duration
	// Attempts counts the claims of this life, the holder's own included. Set
	// where Left is, and for ClassAlone: there it counts those charged so far.
	Attempts int
	// Deaths counts the claims in a row that lapsed without a release or a
	// completion, up to this claim. Set where Attempts is.
	Deaths int
	// Duplicates counts the claims that found the key busy since it was claimed.
	// Set where Left is.
	Duplicates int
	// Deadline and Hard are the ends of Left and HardLeft on the store's clock,
	// to be handed to Extend. Set where Left is.
	Deadline, Hard Instant
}

// Claimed reports whether the caller holds the key now.
func (r ClaimReply) Claimed() bool {
	return r.Class == ClassNew || r.Class == ClassTakeover || r.Class == ClassOwn
}

// ExtendRequest asks to move the lease of a claim.
type ExtendRequest struct {
	// Key, Token, Lease, TTL, PayloadHash and Life are as in the ClaimRequest.
	Key, Token        string
	Lease, TTL        time.Duration
	PayloadHash, Life string
	// Fence, Attempts, Deaths and Hard are from the ClaimReply, Alone from the
	// ClaimRequest. All but the fence are for a record that was lost.
	Fence            int64
	Attempts, Deaths int
	Alone            bool
	Hard             Instant
	// LastDeadline is the Deadline of the last reply that had one.
	LastDeadline Instant
}

// ExtendReply answers an ExtendRequest.
type ExtendReply struct {
	Class Class
	// Fence is the fence of the record as it stands; the request's where the
	// record is gone.
	Fence int64
	// Deadline is the new end of the lease for ClassOwn and ClassRestored.
	Deadline Instant
}

// CompleteRequest asks to record that the work is done.
type CompleteRequest struct {
	// Key, Token, PayloadHash and Life are as in the ClaimRequest, Fence and
	// Attempts from its reply.
	Key, Token        string
	PayloadHash, Life string
	Fence             int64
	Attempts          int
	// TTL is how long the completion is remembered. At least 1 ms.
	TTL time.Duration
}

// CompleteReply answers a CompleteRequest.
type CompleteReply struct {
	Class Class
	// Fence is the fence of the record as it stands.
	Fence int64
}

// Charge says what a release does to the count of attempts.
type Charge uint8

// The charges.
const (
	// ChargeAttempt leaves the attempt counted: the handler failed.
	ChargeAttempt Charge = iota
	// RefundAttempt takes it back: the run was cut short and says nothing about
	// the message.
	RefundAttempt
	// ResetAttempts starts the count anew: the message is dead-lettered, and
	// should it be moved back it begins a new life.
	ResetAttempts
)

// ReleaseRequest asks to free a key.
type ReleaseRequest struct {
	// Key and Token are as in the ClaimRequest, Fence from its reply.
	Key, Token string
	Fence      int64
	// TTL is how long the free record is kept for its fence and attempts. At
	// least 1 ms.
	TTL time.Duration
	// Charge says what becomes of the attempt.
	Charge Charge
}

// ReleaseReply answers a ReleaseRequest.
type ReleaseReply struct {
	Class Class
	// Fence is the fence of the record as it stands; the request's where the
	// record is gone.
	Fence int64
	// Attempts are the attempts left in the record. Set for ClassOwn.
	Attempts int
}
