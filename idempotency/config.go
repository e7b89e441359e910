package idempotency

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Config configures the middleware. Consumer is required; the rest of the zero
// value is a good production configuration.
type Config struct {
	// Consumer names the logical consumer, such as "orders" or "invoice-mailer".
	// All workers that share the work of a queue have the same; two consumers of
	// one topic have different ones, because each must see every message once.
	// 1 to 64 letters, digits, '.', '_' and '-'. Default: none, it is required.
	Consumer string
	// Prefix is what all keys in the store begin with. 1 to 64 letters, digits,
	// '.', '_', '-' and ':'. Default: "hf".
	Prefix string

	// Key returns what names the work of a message, such as an order id; the same
	// string twice is the same work. It is called before the handler, must not
	// change the message, and is safe for concurrent use. An error is returned to
	// the runtime as the handler's: wrap it in holdfast.Permanent where trying
	// again is useless. Default: nil, the key is taken from KeyAttribute or derived.
	Key func(*holdfast.Message) (string, error)
	// KeyAttribute is the message attribute that holds the key, such as
	// "idempotency-key"; it is asked where Key is nil or returns "". At most 256
	// characters. Default: "", the key is derived.
	KeyAttribute string
	// Source says what the key is derived from where neither Key nor KeyAttribute is
	// set, and under MissingKey DeriveKey. Default: SourceStrongest.
	Source Source
	// MissingKey says what happens to a message that Key and KeyAttribute give no key,
	// or that does not have what Source asks for. Default: RejectUnkeyed.
	MissingKey MissingKey
	// ReplayEpoch, where it is set, is a part of every key: another value makes all
	// work new. Set one, on all workers, before an archive of SNS is replayed or a
	// dead-letter queue moved back in order to work on everything once more; what is
	// still in the queue at that moment is worked on again as well. At most 64
	// characters. Default: "", replays are recognized as what they are.
	ReplayEpoch string

	// SkipPayloadCheck leaves out the comparison of payloads. Otherwise the first 8
	// bytes of the body's SHA-256 are kept with the key, and a message that comes
	// with a known key and another body is a mismatch. Where the message came in an
	// SNS envelope the body is what was in it, since each delivery has an envelope of
	// its own. Default: false.
	SkipPayloadCheck bool
	// Mismatch says what happens to a mismatch. Default: RejectMismatch.
	Mismatch Mismatch

	// MaxAttempts is how many runs of a message may fail, or end their process while
	// they are alone in it, before the message is dead-lettered. It must be 3 or more
	// below the maxReceiveCount of the queue: two deaths beside others, and the receive
	// that finds the attempts used up, are not attempts. 0 takes the default; at most
	// 1,000. Default: as many failures as the queue has receives, and maxReceiveCount -
	// 3 deaths (no less than 3 or maxReceiveCount itself); without a redrive policy no
	// bound.
	MaxAttempts int
	// Poison says who dead-letters a message whose attempts are used up.
	// Default: Explicit.
	Poison Poison
	// Process is what runs together and would die together; a message that killed two
	// processes runs alone in it. Only tests that play several processes in one, or run
	// in several synctest bubbles, need to set it. Default: nil, the whole program.
	Process *Process

	// Mode says whether duplicates are suppressed or only told. Default: Enforce.
	Mode Mode
	// LocalDone is how many completed keys are remembered in this process, for 10
	// minutes, some 100 bytes each, so that their duplicates cost no round trip. 0
	// takes the default, -1 remembers none; at most 10,000,000. Default: 10,000.
	LocalDone int

	// DoneTTL is how long a completed key is remembered. It must outlive every copy
	// of its message: in the queue, in the dead-letter queue, and in the queue again
	// after a redrive. Each key takes about 220 bytes of Redis for this long. 0
	// takes the default, less than 1 minute is an error, as at start is less than the
	// queue's retention; less than the default is a warning then. Default: twice the
	// queue's retention, that of its dead-letter queue (14 days where it is not known)
	// and 1 hour; the queue's retention and 1 hour where it has no dead-letter queue.
	DoneTTL time.Duration
	// PostDeleteTTL shortens DoneTTL once the message is surely deleted, to save
	// memory: what can still come then is a copy that SQS delivers after the delete,
	// or one that a producer or SNS sent twice within this time. It is the weaker
	// guarantee: a copy sent later is work done again. 0 keeps DoneTTL; else at least
	// 1 minute and less than DoneTTL. Best effort: at a stop, or with the store away,
	// a key keeps its DoneTTL. Default: 0.
	PostDeleteTTL time.Duration
	// RecordTTL is how long the record of an unfinished key is kept beyond its
	// lease, for its fence and its attempts. 0 takes the default, less than 1 minute
	// is an error. Default: the queue's retention.
	RecordTTL time.Duration

	// Margin is how long before the message can become visible the claim ends, so
	// that whoever receives it next finds the key free. 0 takes the default; at
	// least 100 ms and at most a sixth of the consumer's visibility timeout, the
	// latter checked at start. Default: 5 s, a sixth of the visibility where that is
	// less.
	Margin time.Duration
	// StoreTimeout bounds each call of the store. 0 takes the default; 10 ms to 10 s.
	// A Redis client heeds it only with ContextTimeoutEnabled. Default: 1 s.
	StoreTimeout time.Duration

	// StoreDown says what happens to messages while the store does not answer.
	// Default: FailClosed.
	StoreDown StoreDown
	// OutageBudget is how long a message that is held here, and has not begun, waits
	// for a store that is down before it is given back with a backoff. Nothing is
	// received meanwhile, so that costs it one receive. 0 takes the default; else 1 s
	// to 12 h. Default: 1 minute.
	OutageBudget time.Duration
	// OutageGrace is how long a handler goes on past the end of its lease while the
	// store does not answer and SQS confirms that it hides the message from everyone
	// else: a failover takes longer than a lease. A claim that was taken over, or a
	// visibility that was lost, cancels it at once. 0 takes the default; else 1 s to
	// 12 h. Default: 2 minutes.
	OutageGrace time.Duration
	// StrictLease cancels handlers at the end of their lease, without a grace.
	// Default: false.
	StrictLease bool
	// LeaseLost says what happens to a handler whose lease, and grace, ends without
	// an extension. Default: CancelHandler.
	LeaseLost LeaseLost

	// Hooks watch the claims. Default: none.
	Hooks Hooks
	// Logger is told at start what weakens the protection, and nothing else.
	// Default: nil, silent.
	Logger *slog.Logger
}

// StoreDown is a policy for the time in which the store does not answer.
type StoreDown uint8

const (
	// FailClosed runs nothing without a claim. Nothing is received while the store is
	// down (the middleware is a holdfast.Gate), what is held waits without a slot, and
	// what is done is kept until that is recorded.
	FailClosed StoreDown = iota
	// FailOpen runs handlers without a claim, and so without protection from
	// duplicates of other processes: for work whose delay is worse than its
	// repetition. Claim.Unprotected says so in their context, Hooks.Unprotected to
	// operators. Completions are recorded when the store is back, as far as 1,024
	// of them are remembered, and their messages deleted at once.
	FailOpen
)

// LeaseLost is a policy for handlers whose lease has ended.
type LeaseLost uint8

const (
	// CancelHandler cancels their context with cause holdfast.ErrLeaseLost.
	CancelHandler LeaseLost = iota
	// RunOn lets them go on, and leaves the decision to their completion: it is
	// recorded if nobody else has claimed the key since. A claim that was taken over
	// cancels them all the same, as soon as that is known. It is for handlers that
	// check the fence, or whose repetition costs more than an overlap.
	RunOn
)

const (
	defaultPrefix       = "hf"
	defaultMargin       = 5 * time.Second
	defaultStoreTimeout = time.Second
	defaultLocalDone    = 10_000
	defaultOutageBudget = time.Minute
	defaultOutageGrace  = 2 * time.Minute
	// longestRetention is that of SQS; it stands in for a retention not known.
	longestRetention = 14 * 24 * time.Hour
)

var (
	consumerName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	prefixName   = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
)

// withDefaults fills in the defaults that do not depend on the queue.
func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.StoreTimeout == 0 {
		c.StoreTimeout = defaultStoreTimeout
	}
	if c.LocalDone == 0 {
		c.LocalDone = defaultLocalDone
	}
	if c.Process == nil {
		c.Process = theProcess
	}
	if c.OutageBudget == 0 {
		c.OutageBudget = defaultOutageBudget
	}
	if c.OutageGrace == 0 {
		c.OutageGrace = defaultOutageGrace
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate returns all problems of a Config that has its defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, fmt.Errorf("idempotency: Config.%s is %v, must be %s", field, value, bound))
	}
	if c.Consumer == "" {
		bad("Consumer", `""`, "set: it names the logical consumer, the same in all its workers")
	} else if !consumerName.MatchString(c.Consumer) {
		bad("Consumer", fmt.Sprintf("%q", c.Consumer), "1 to 64 letters, digits, '.', '_' and '-'")
	}
	if !prefixName.MatchString(c.Prefix) {
		bad("Prefix", fmt.Sprintf("%q", c.Prefix), "1 to 64 letters, digits, '.', '_', '-' and ':'")
	}
	if len(c.KeyAttribute) > 256 {
		bad("KeyAttribute", fmt.Sprintf("%d characters long", len(c.KeyAttribute)), "at most 256")
	}
	c.validatePolicies(bad)
	if c.DoneTTL != 0 && c.DoneTTL < time.Minute {
		bad("DoneTTL", c.DoneTTL, "0 or at least 1m")
	}
	if c.PostDeleteTTL != 0 && c.PostDeleteTTL < time.Minute {
		bad("PostDeleteTTL", c.PostDeleteTTL, "0 or at least 1m")
	}
	if c.DoneTTL > 0 && c.PostDeleteTTL >= c.DoneTTL {
		bad("PostDeleteTTL", c.PostDeleteTTL, fmt.Sprintf("less than DoneTTL (%v)", c.DoneTTL))
	}
	if c.RecordTTL != 0 && c.RecordTTL < time.Minute {
		bad("RecordTTL", c.RecordTTL, "0 or at least 1m")
	}
	if c.Margin != 0 && c.Margin < 100*time.Millisecond {
		bad("Margin", c.Margin, "0 or at least 100ms")
	}
	if c.StoreTimeout < 10*time.Millisecond || c.StoreTimeout > 10*time.Second {
		bad("StoreTimeout", c.StoreTimeout, "10ms to 10s")
	}
	if c.StoreDown > FailOpen {
		bad("StoreDown", c.StoreDown, "FailClosed or FailOpen")
	}
	if c.OutageBudget < time.Second || c.OutageBudget > longestHold {
		bad("OutageBudget", c.OutageBudget, "0 or 1s to 12h")
	}
	if c.OutageGrace < time.Second || c.OutageGrace > longestHold {
		bad("OutageGrace", c.OutageGrace, "0 or 1s to 12h")
	}
	if c.LeaseLost > RunOn {
		bad("LeaseLost", c.LeaseLost, "CancelHandler or RunOn")
	}
	return errors.Join(errs...)
}

// retention is the queue's, the longest there is where it is not known.
func retention(q holdfast.Queue) time.Duration {
	if q.Retention > 0 {
		return q.Retention
	}
	return longestRetention
}

// neededTTL is how long a copy of a message can turn up: in the queue, then in
// the dead-letter queue, then in the queue again, whose retention a redrive
// restarts. A queue without a dead-letter queue has no more than its own.
func neededTTL(q holdfast.Queue) time.Duration {
	need := retention(q) + time.Hour
	if q.ARN != "" && q.DeadLetterARN == "" && q.MaxReceiveCount == 0 {
		return need
	}
	dead := q.DeadLetterRetention
	if dead <= 0 {
		dead = longestRetention // it could not be read
	}
	return need + dead + retention(q)
}

func (c Config) doneTTL(q holdfast.Queue) time.Duration {
	if c.DoneTTL > 0 {
		return c.DoneTTL
	}
	return neededTTL(q)
}

func (c Config) recordTTL(q holdfast.Queue) time.Duration {
	if c.RecordTTL > 0 {
		return c.RecordTTL
	}
	return retention(q)
}

func (c Config) margin(visibility time.Duration) time.Duration {
	if c.Margin > 0 {
		return min(c.Margin, visibility/6)
	}
	return min(defaultMargin, visibility/6)
}
