package sqstest

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-go/holdfast/internal/snsserver"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// Fault is an answer that is an error.
type Fault struct{ err sqsserver.Error }

// Faults that AWS is known to answer with.
var (
	// Throttle is the throttling of the service's front: retried by the SDK.
	Throttle = Fault{sqsserver.Error{Shape: "ThrottlingException", Code: "ThrottlingException", Status: 400, Message: "Rate exceeded"}}
	// RequestThrottled is that of SQS itself, *types.RequestThrottled.
	RequestThrottled = Fault{sqsserver.Error{Shape: "RequestThrottled", Code: "RequestThrottled", Status: 403, Message: "The request was denied due to request throttling."}}
	// Internal500 is an internal error of the service.
	Internal500 = Fault{sqsserver.Error{Shape: "InternalFailure", Code: "InternalFailure", Status: 500, Message: "The request processing has failed because of an unknown error, exception or failure.", Receiver: true}}
	// ServiceUnavailable503 is a service that is overloaded or down.
	ServiceUnavailable503 = Fault{sqsserver.Error{Shape: "ServiceUnavailable", Code: "ServiceUnavailable", Status: 503, Message: "The request has failed due to a temporary failure of the server.", Receiver: true}}
	// ExpiredToken is what expired credentials get.
	ExpiredToken = Fault{sqsserver.Error{Shape: "ExpiredTokenException", Code: "ExpiredToken", Status: 403, Message: "The security token included in the request is expired"}}
	// AccessDenied is a missing permission.
	AccessDenied = Fault{sqsserver.Error{Shape: "AccessDeniedException", Code: "AccessDenied", Status: 403, Message: "Access to the resource is denied."}}
	// OverLimit is too many messages in flight, *types.OverLimit.
	OverLimit = Fault{sqsserver.Error{Shape: "OverLimit", Code: "OverLimit", Status: 403, Message: "Too many messages in flight."}}
	// QueueDoesNotExist is *types.QueueDoesNotExist.
	QueueDoesNotExist = Fault{sqsserver.Error{Shape: "QueueDoesNotExist", Code: "AWS.SimpleQueueService.NonExistentQueue", Status: 400, Message: "The specified queue does not exist."}}
	// ReceiptHandleIsInvalid is *types.ReceiptHandleIsInvalid.
	ReceiptHandleIsInvalid = Fault{sqsserver.Error{Shape: "ReceiptHandleIsInvalid", Code: "ReceiptHandleIsInvalid", Status: 404, Message: "The input receipt handle is invalid."}}
)

// Custom is an error of any code and HTTP status. A status of 500 and above is
// the service's fault.
func Custom(code string, status int, message string) Fault {
	return Fault{sqsserver.Error{
		Shape: code, Code: code, Status: status, Message: message,
		Receiver: status >= http.StatusInternalServerError,
	}}
}

// FaultOption says which calls a fault strikes. Without options it strikes
// every call of its action.
type FaultOption func(*faultConfig)

type faultConfig struct {
	rule  sqsserver.Rule
	topic string
	errs  []error
}

// OnQueue strikes calls on the queue of that name only.
func OnQueue(name string) FaultOption { return func(c *faultConfig) { c.rule.Queue = name } }

// OnTopic strikes calls of SNS on the topic of that name only.
func OnTopic(name string) FaultOption { return func(c *faultConfig) { c.topic = name } }

// After lets the first n matching calls pass. n is 0 or more.
func After(n int) FaultOption { return func(c *faultConfig) { c.rule.After = n } }

// Times ends the fault after n strikes. n is 1 or more.
func Times(n int) FaultOption {
	return func(c *faultConfig) { c.rule.Times = c.atLeastOne("Times", n) }
}

// Every strikes each n-th matching call, counted after those of After. n is 1 or
// more.
func Every(n int) FaultOption {
	return func(c *faultConfig) { c.rule.Every = c.atLeastOne("Every", n) }
}

func (c *faultConfig) atLeastOne(option string, n int) int {
	if n < 1 {
		c.errs = append(c.errs, fmt.Errorf("%s(%d) is below 1", option, n))
	}
	return n
}

// Probability strikes with chance p, between 0 and 1, by a generator of its own
// that starts from seed.
func Probability(p float64, seed uint64) FaultOption {
	return func(c *faultConfig) { c.rule.Spare, c.rule.Seed = 1-p, seed }
}

// OnReply makes Delay hold back the reply to a call that was applied at once,
// not the call.
func OnReply() FaultOption { return func(c *faultConfig) { c.rule.OnReply = true } }

// Injected is a fault at work. It is safe for concurrent use.
type Injected struct {
	inner interface { // nil for a fault that was refused
		Stop()
		Hits() int
	}
}

// Stop ends the fault.
func (i *Injected) Stop() {
	if i.inner != nil {
		i.inner.Stop()
	}
}

// Hits is how often it has struck.
func (i *Injected) Hits() int {
	if i.inner == nil {
		return 0
	}
	return i.inner.Hits()
}

// inject puts a rule to work. One that makes no sense (an unknown action, say)
// would leave a test green that proves nothing, so it fails the test; it does not
// end it, since faults may be made in any goroutine.
func (s *Server) inject(r sqsserver.Rule, opts []FaultOption) *Injected {
	s.tb.Helper()
	c := faultConfig{rule: r}
	for _, opt := range opts {
		opt(&c)
	}
	injected := &Injected{}
	if err := errors.Join(append(c.errs, s.put(c, injected))...); err != nil {
		s.tb.Errorf("sqstest: fault: %v", err)
	}
	return injected
}

// put hands a rule to the server whose action it names. AddPermission and
// RemovePermission are of both: with OnTopic they are SNS's.
func (s *Server) put(c faultConfig, to *Injected) error {
	if c.topic == "" && (c.rule.Action == "" || sqsserver.Knows(c.rule.Action)) {
		inner, err := s.inner.Inject(c.rule)
		if err == nil {
			to.inner = inner
		}
		return err
	}
	r := c.rule
	if r.Duplicate || r.Ghost {
		return errors.New("OnTopic is not for Duplicate and Ghost: they are of queues")
	}
	inner, err := s.sns.Inject(snsserver.Rule{
		Action: r.Action, Topic: c.topic, Queue: r.Queue,
		After: r.After, Every: r.Every, Times: r.Times, Spare: r.Spare, Seed: r.Seed,
		Fail: snsError(r.Fail), Delay: r.Delay, OnReply: r.OnReply,
		Cut: r.Cut, Drop: r.Drop, Hang: r.Hang, FailEntry: snsError(r.FailEntry),
	})
	if err == nil {
		to.inner = inner
	}
	return err
}

// snsError is a fault as SNS words it.
func snsError(e *sqsserver.Error) *snsserver.Error {
	if e == nil {
		return nil
	}
	code, status := e.Code, e.Status
	switch e.Shape {
	case AccessDenied.err.Shape:
		code = "AuthorizationError"
	case Throttle.err.Shape: // the front of the query protocol
		code = "Throttling"
	case RequestThrottled.err.Shape: // SNS itself
		code, status = "Throttled", http.StatusTooManyRequests
	}
	return &snsserver.Error{Code: code, Status: status, Message: e.Message, Receiver: e.Receiver}
}

// Deliver is, for Fail, Delay, Cut and DropReply, what SNS does for each
// subscription: one try to send a message to its queue. OnTopic and OnQueue narrow
// it. A fault that is the service's own, and a cut, is tried again on SNS's
// schedule, 23 days long; one that is the sender's goes to the subscription's
// dead-letter queue or is lost. Delay makes the delivery late.
const Deliver = snsserver.Deliver

// Fail answers calls of an action of SQS or SNS with an error, unapplied. ""
// stands for every action of SQS or, with OnTopic, of SNS. Here and below, a fault
// that makes no sense (an action the server does not have, a number out of range)
// fails the server's test.
//
// Where several faults match one call they are asked in the order they were
// made; delays add up, and the first that ends the call hides those after it.
func (s *Server) Fail(action string, fault Fault, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Action: action, Fail: &fault.err}, opts)
}

// Delay holds calls of an action back by d before they are applied or, with
// OnReply, their replies. A call whose context ends meanwhile ends with it.
func (s *Server) Delay(action string, d time.Duration, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Action: action, Delay: d}, opts)
}

// DropReply applies calls of an action, then breaks the connection: the caller
// never learns the result. The messages of a ReceiveMessage are in flight.
func (s *Server) DropReply(action string, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Action: action, Drop: true}, opts)
}

// Cut breaks the connection of calls of an action before they are applied.
func (s *Server) Cut(action string, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Action: action, Cut: true}, opts)
}

// Hang never answers calls of an action, and does not apply them. They end with
// their context.
func (s *Server) Hang(action string, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Action: action, Hang: true}, opts)
}

// FailEntries fails single entries of a batch action with a code, unapplied; the
// call succeeds. The options count entries, not calls: Every(3) fails a third of
// them.
func (s *Server) FailEntries(action, code string, senderFault bool, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Action: action, FailEntry: &sqsserver.Error{
		Shape: code, Code: code, Message: "sqstest fails this entry", Receiver: !senderFault,
	}}, opts)
}

// Duplicate delivers messages of a standard queue twice, as a standard queue may:
// once received, a message is received once more although it is in flight, under
// a new receipt handle that makes the old one stale. The options count messages
// received. queue "" means every queue; FIFO queues never deliver twice.
func (s *Server) Duplicate(queue string, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Queue: queue, Duplicate: true}, opts)
}

// Ghost brings messages of a standard queue back after their delete, once, as a
// standard queue may when one of its servers missed the delete. The options
// count messages received. queue "" means every queue; FIFO queues have no ghosts.
func (s *Server) Ghost(queue string, opts ...FaultOption) *Injected {
	s.tb.Helper()
	return s.inject(sqsserver.Rule{Queue: queue, Ghost: true}, opts)
}
