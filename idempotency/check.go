package idempotency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast"
)

// Severity says what a Finding means.
type Severity uint8

// The severities.
const (
	// SeverityWarning: the protection is weaker than it could be. Start logs it.
	SeverityWarning Severity = iota
	// SeverityError: the protection is not what it says. Start returns it.
	SeverityError
)

// String returns the severity in words.
func (s Severity) String() string {
	if s == SeverityError {
		return "error"
	}
	return "warning"
}

// Finding is one thing that is wrong with a set-up.
type Finding struct {
	// Name names the rule, such as "done-ttl": the same in every version, for
	// those who look for a finding by program.
	Name     string
	Severity Severity
	// Problem says in plain words what is wrong, with the value found.
	Problem string
	// Advice says what to change, and to what.
	Advice string
}

// String returns the finding as a sentence for a log or an error.
func (f Finding) String() string { return f.Problem + ". " + f.Advice }

// CheckRequest is what a Checker is told of the set-up that it will serve.
type CheckRequest struct {
	// Queue is the queue that is consumed.
	Queue holdfast.Queue
	// Visibility is the visibility timeout of each receive, Lease what a fresh
	// claim lasts under it.
	Visibility, Lease time.Duration
	// StoreTimeout is what each call of the store is given.
	StoreTimeout time.Duration
}

// Checker is a Store that can tell what is wrong with its server or its client.
// Check is called at start, after Validate and Start; it may ask the server. Its
// error says that it could not be found out.
type Checker interface {
	Check(ctx context.Context, r CheckRequest) ([]Finding, error)
}

// Check returns all that is wrong with a middleware on store with cfg for the
// queue q, errors first. It is what Start goes by, as data: for a deploy check or a
// test of one's set-up. The zero Queue stands for one that is not known. The store is
// asked where it is a Checker. The error says that cfg is not valid, or that the
// store could not be asked: the other findings are there all the same.
func Check(ctx context.Context, store Store, cfg Config, q holdfast.Queue) ([]Finding, error) {
	mw := New(store, cfg)
	if err := mw.Validate(); err != nil {
		return nil, err
	}
	return mw.check(ctx, q)
}

// check finds what is wrong for q. err is the store's, which could not be asked.
func (mw *Middleware) check(ctx context.Context, q holdfast.Queue) (findings []Finding, err error) {
	visibility := q.Visibility
	if visibility <= 0 {
		visibility = defaultVisibility
	}
	if c, ok := mw.store.(Checker); ok {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		findings, err = c.Check(ctx, CheckRequest{
			Queue: q, Visibility: visibility, Lease: visibility - time.Second - mw.cfg.margin(visibility),
			StoreTimeout: mw.cfg.StoreTimeout,
		})
	}
	findings = append(findings, mw.checkTimes(q)...)
	findings = append(findings, mw.checkAttempts(q)...)
	findings = append(findings, mw.checkKeys(q)...)
	slices.SortStableFunc(findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return findings, err
}

// checkTimes holds leases and times to live against the queue.
func (mw *Middleware) checkTimes(q holdfast.Queue) (findings []Finding) {
	cfg := &mw.cfg
	if v := q.Visibility; v > 0 {
		if cfg.Margin > v/6 {
			findings = append(findings, Finding{"margin", SeverityError,
				fmt.Sprintf("Config.Margin is %v, must be at most a sixth of the visibility timeout of %v (%v)", cfg.Margin, v, v/6),
				"Lower Margin, or raise the consumer's Visibility"})
		}
		if firstLease := v - time.Second - cfg.margin(v); firstLease <= 0 {
			findings = append(findings, Finding{"visibility", SeverityError,
				fmt.Sprintf("the visibility timeout is %v, must be at least 2s to leave a claim any time", v),
				"Raise the consumer's Visibility; 30s is a good value"})
		}
	}
	need, keep := neededTTL(q), retention(q)
	if cfg.DoneTTL > 0 && cfg.DoneTTL < need {
		severity := SeverityWarning
		if cfg.DoneTTL < q.Retention {
			// A copy need not even be dead-lettered to outlive it.
			severity = SeverityError
		}
		findings = append(findings, Finding{"done-ttl", severity,
			fmt.Sprintf("Config.DoneTTL is %v, but a copy of a message can turn up %v after it was done (retention of the queue, "+
				"of its dead-letter queue, and of the queue again after a redrive, and 1h): its work would be done twice", cfg.DoneTTL, need),
			fmt.Sprintf("Set DoneTTL to %v or leave it 0; if that takes too much memory, set PostDeleteTTL as well", need)})
	}
	if cfg.PostDeleteTTL >= cfg.doneTTL(q) && cfg.PostDeleteTTL > 0 {
		findings = append(findings, Finding{"post-delete-ttl", SeverityWarning,
			fmt.Sprintf("Config.PostDeleteTTL is %v, not less than the %v for which a completed key is kept anyway: it saves nothing",
				cfg.PostDeleteTTL, cfg.doneTTL(q)),
			"Leave PostDeleteTTL 0, or lower it"})
	}
	if cfg.RecordTTL > 0 && cfg.RecordTTL < keep {
		findings = append(findings, Finding{"record-ttl", SeverityWarning,
			fmt.Sprintf("Config.RecordTTL is %v, but a message can wait in the queue for %v: it would outlive its record, and its attempts start anew",
				cfg.RecordTTL, keep),
			fmt.Sprintf("Set RecordTTL to %v or leave it 0", keep)})
	}
	return findings
}

// checkAttempts holds the attempts against the redrive policy.
func (mw *Middleware) checkAttempts(q holdfast.Queue) []Finding {
	most, receives := mw.cfg.maxAttempts(q), q.MaxReceiveCount
	switch {
	case q.ARN != "" && receives == 0:
		return []Finding{{"no-dead-letter-queue", SeverityWarning,
			"the queue has no redrive policy: a message that can never be done, or that ends its process, comes back until its retention is over",
			fmt.Sprintf("Give the queue a dead-letter queue, with a maxReceiveCount of %d or more", max(most, 3)+spared)}}
	case receives == 0 || receives >= most+spared:
		return nil
	}
	f := Finding{"max-receive-count", SeverityWarning,
		fmt.Sprintf("the queue's maxReceiveCount is %d, must be at least %d for %d attempts: a message that ends its process takes two "+
			"receives before it runs alone and one to be dead-lettered, and each stop or outage can cost one more", receives, most+spared, most),
		fmt.Sprintf("Set maxReceiveCount to %d or more (20 or more where a job takes hours)", most+spared)}
	if mw.cfg.MaxAttempts > 0 {
		f.Severity = SeverityError
		if fits := receives - spared; fits > 0 {
			f.Advice += fmt.Sprintf(", or Config.MaxAttempts to %d or less", fits)
		}
	}
	return []Finding{f}
}

// checkKeys tells where a key does not survive what happens to a message.
func (mw *Middleware) checkKeys(q holdfast.Queue) []Finding {
	const advice = "Set Config.KeyAttribute (or Config.Key) to what names the work, such as an order id"
	cfg := &mw.cfg
	switch {
	case cfg.Source == SourcePayload:
		return []Finding{{"key-source", SeverityWarning,
			"Config.Source is SourcePayload: of two messages that are equal only the first is worked on, also where both were meant", advice}}
	case cfg.Key != nil || cfg.KeyAttribute != "" || cfg.Source != SourceStrongest && cfg.Source < SourceFIFO:
		return nil
	case q.FIFO && cfg.Source != SourceSQS:
		return []Finding{{"key-source", SeverityWarning,
			"neither Key nor KeyAttribute is set: the key is the deduplication id of SQS unless a message carries CloudEvents attributes, " +
				"or comes through SNS, EventBridge or S3; one moved back from a dead-letter queue has a new one, and is worked on again although it was done",
			advice}}
	}
	return []Finding{{"key-source", SeverityWarning,
		"neither Key nor KeyAttribute is set: only SQS's message id protects a message, unless it carries CloudEvents attributes, " +
			"or comes through SNS, EventBridge or S3; one sent twice, or moved back from a dead-letter queue, has a new id and is worked on twice",
		advice}}
}

// checkTimeout bounds what a store's check may take.
const checkTimeout = 10 * time.Second

// startErr tells warnings to the log and returns the errors among findings.
func (mw *Middleware) startErr(q holdfast.Queue, findings []Finding) error {
	var errs []error
	for _, f := range findings {
		if f.Severity == SeverityError {
			errs = append(errs, fmt.Errorf("idempotency: %s", f))
			continue
		}
		mw.cfg.Logger.Warn("idempotency: "+f.String(), "check", f.Name, "queue", q.Name)
	}
	return errors.Join(errs...)
}
