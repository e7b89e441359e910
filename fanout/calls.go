package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/holdfast-go/holdfast/internal/jitter"
)

// AccessError says that IAM, or a policy of the queue or topic, denies an action.
// Plan, Apply and Verify return it, joined with others. The policies that
// PlanPermissions and ApplyPermissions print allow what is needed.
type AccessError struct {
	// Action is as IAM names it, for example sns:Subscribe.
	Action string
	// Resource is the ARN that the call was about.
	Resource string
	Err      error
}

// Error implements error.
func (e *AccessError) Error() string {
	return fmt.Sprintf("fanout: %s is denied on %s: %v", e.Action, e.Resource, e.Err)
}

// Unwrap returns the error of the SDK.
func (e *AccessError) Unwrap() error { return e.Err }

// throttleTries is how often a call that is throttled is made at most, beyond the
// tries of the SDK.
const throttleTries = 12

// calls makes calls in parallel, no faster than the services take them: they have
// low limits on what administers queues and topics, shared by a whole account.
type calls struct {
	slots chan struct{}
	every time.Duration // between two calls of one service, once the burst is spent
	burst time.Duration // how far calls may run ahead

	mu   sync.Mutex // guards next
	next map[string]time.Time
}

func newCalls(cfg Config) *calls {
	every := time.Duration(float64(time.Second) / cfg.CallsPerSecond)
	return &calls{
		slots: make(chan struct{}, cfg.Parallel), every: every, burst: time.Second,
		next: map[string]time.Time{},
	}
}

// do makes one call. action is "sqs:CreateQueue", on is the ARN it is about.
func (c *calls) do(ctx context.Context, action, on string, call func(ctx context.Context) error) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return c.inTurn(ctx, action, on, call)
}

// inTurn is do for calls that mostly wait, and shall not keep others from their slots.
func (c *calls) inTurn(ctx context.Context, action, on string, call func(ctx context.Context) error) error {
	service, _, _ := strings.Cut(action, ":")
	for try := 1; ; try++ {
		if err := pause(ctx, c.turn(service)); err != nil {
			return err
		}
		err := call(ctx)
		if err == nil {
			return nil
		}
		if !throttled(err) || try == throttleTries {
			return explain(action, on, err)
		}
		// All wait, not only this one: the limit is one for all.
		c.hold(service, jitter.Equal(200*time.Millisecond, 10*time.Second, try))
	}
}

// turn reserves the next place in the flow of calls and returns how long it is
// away.
func (c *calls) turn(service string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	at := c.next[service]
	if earliest := now.Add(-c.burst); at.Before(earliest) {
		at = earliest
	}
	c.next[service] = at.Add(c.every)
	return max(0, at.Sub(now))
}

// hold stops the flow for a while.
func (c *calls) hold(service string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := time.Now().Add(d); c.next[service].Before(until) {
		c.next[service] = until
	}
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// each runs f for all items at once and joins what goes wrong, in their order.
func each[T any](items []T, f func(item T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = f(item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// code is what a service calls its error, "" for another kind of error.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func throttled(err error) bool {
	return slices.Contains([]string{
		"Throttling", "ThrottlingException", "Throttled", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
	}, code(err))
}

func explain(action, on string, err error) error {
	switch code(err) {
	case "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException":
		return &AccessError{Action: action, Resource: on, Err: err}
	}
	return fmt.Errorf("fanout: %s on %s: %w", action, on, err)
}

// missing tells that a queue, a topic or a subscription is not there.
func missing(err error) bool {
	var queue *sqstypes.QueueDoesNotExist
	var topic *snstypes.NotFoundException
	var tagged *snstypes.ResourceNotFoundException
	return errors.As(err, &queue) || errors.As(err, &topic) || errors.As(err, &tagged)
}
