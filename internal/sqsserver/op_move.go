package sqsserver

import "time"

// maxMoveRate is the greatest MaxNumberOfMessagesPerSecond.
const maxMoveRate = 500

// startMessageMoveTask is StartMessageMoveTask.
type startMessageMoveTask struct {
	SourceARN                    string `json:"SourceArn"`
	DestinationARN               string `json:"DestinationArn"`
	MaxNumberOfMessagesPerSecond *int
}

func (r *startMessageMoveTask) target() string { return r.SourceARN }
func (r *startMessageMoveTask) entries() int   { return 1 }

func (r *startMessageMoveTask) serve(s *Server, c *call, w *jsonWriter) error {
	rate := 0
	if n := r.MaxNumberOfMessagesPerSecond; n != nil {
		if rate = *n; rate < 1 || rate > maxMoveRate {
			return errParameter.with("Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and %d, if provided.", rate, maxMoveRate)
		}
	}
	now := time.Now()
	s.lock()
	defer s.unlock()
	q, err := s.openARN(c, r.SourceARN, now)
	if err != nil {
		return err
	}
	if len(s.sourcesOf(q.arn)) == 0 {
		return errParameter.with("Source queue must be configured as a Dead Letter Queue.")
	}
	if err := s.checkDestination(q, r.DestinationARN); err != nil {
		return err
	}
	if err := s.allowMove(c, q, r.DestinationARN); err != nil {
		return err
	}
	if q.activeMove() != nil {
		return errUnsupported.with("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	}
	w.text("TaskHandle", q.startMove(r.DestinationARN, rate, now).handle())
	return nil
}

// openARN is open for the operations that name their queue by ARN.
func (s *Server) openARN(c *call, arn string, now time.Time) (*queue, error) {
	if arn == "" {
		return nil, errMissing.with("The request must contain the parameter SourceArn.")
	}
	if _, ok := splitARN(arn); !ok {
		return nil, errParameter.with("Value %s for parameter SourceArn is invalid. Reason: It is not the ARN of a queue.", arn)
	}
	q := s.byARN(arn)
	if q == nil {
		return nil, errNoResource.with("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if err := s.allow(c, q); err != nil {
		return nil, err
	}
	q.advance(now)
	return q, nil
}

// allowMove asks for what a task does in the caller's name, beside the task itself
// (AWS, "Configuring queue permissions" of "Learn how to configure a dead-letter
// queue redrive").
func (s *Server) allowMove(c *call, from *queue, destination string) error {
	for _, action := range []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"} {
		if err := s.allowTo(c, action, from); err != nil {
			return err
		}
	}
	into := s.sourcesOf(from.arn)
	if destination != "" {
		into = []*queue{s.byARN(destination)}
	}
	for _, to := range into {
		if err := s.allowTo(c, "SendMessage", to); err != nil {
			return err
		}
	}
	return nil
}

// checkDestination holds a task's destination against its source.
func (s *Server) checkDestination(from *queue, arn string) *Error {
	if arn == "" {
		return nil
	}
	bad := func(reason string) *Error {
		return errParameter.with("Value %s for parameter DestinationArn is invalid. Reason: %s.", arn, reason)
	}
	if _, ok := splitARN(arn); !ok {
		return bad("It is not the ARN of a queue")
	}
	to := s.byARN(arn)
	switch {
	case to == nil:
		return errNoResource.with("The resource that you specified for the DestinationArn parameter doesn't exist.")
	case to == from:
		return bad("Source queue arn and destination queue arn cannot be the same")
	case to.settings.fifo != from.settings.fifo:
		return bad("It must be the same type of queue as the source")
	case to.key.account != from.key.account || to.key.region != from.key.region:
		return bad("It must be of the account and region of the source")
	}
	return nil
}

// listMessageMoveTasks is ListMessageMoveTasks.
type listMessageMoveTasks struct {
	SourceARN  string `json:"SourceArn"`
	MaxResults *int
}

func (r *listMessageMoveTasks) target() string { return r.SourceARN }
func (r *listMessageMoveTasks) entries() int   { return 1 }

func (r *listMessageMoveTasks) serve(s *Server, c *call, w *jsonWriter) error {
	limit := 1
	if r.MaxResults != nil {
		if limit = *r.MaxResults; limit < 1 || limit > movesKept {
			return errParameter.with("Value %d for parameter MaxResults is invalid. Reason: Must be between 1 and %d, if provided.", limit, movesKept)
		}
	}
	s.lock()
	defer s.unlock()
	q, err := s.openARN(c, r.SourceARN, time.Now())
	if err != nil {
		return err
	}
	w.key("Results")
	w.open('[')
	for i := len(q.moves) - 1; i >= 0 && limit > 0; i-- {
		w.sep()
		q.moves[i].write(w)
		limit--
	}
	w.close(']')
	return nil
}

func (t *moveTask) write(w *jsonWriter) {
	w.open('{')
	if t.status == moveRunning { // a task that has ended cannot be cancelled
		w.text("TaskHandle", t.handle())
	}
	w.text("Status", string(t.status))
	w.text("SourceArn", t.source.arn)
	w.text("DestinationArn", t.destination)
	if t.rate > 0 {
		w.number("MaxNumberOfMessagesPerSecond", int64(t.rate))
	}
	w.number("ApproximateNumberOfMessagesMoved", int64(t.moved))
	w.number("ApproximateNumberOfMessagesToMove", int64(t.total))
	w.text("FailureReason", t.reason)
	w.number("StartedTimestamp", t.started.UnixMilli())
	w.close('}')
}

// cancelMessageMoveTask is CancelMessageMoveTask.
type cancelMessageMoveTask struct {
	TaskHandle string
}

func (r *cancelMessageMoveTask) target() string {
	h, _ := parseMoveHandle(r.TaskHandle)
	return h.SourceARN
}
func (r *cancelMessageMoveTask) entries() int { return 1 }

func (r *cancelMessageMoveTask) serve(s *Server, c *call, w *jsonWriter) error {
	if r.TaskHandle == "" {
		return errMissing.with("The request must contain the parameter TaskHandle.")
	}
	h, ok := parseMoveHandle(r.TaskHandle)
	if !ok {
		return errParameter.with("Value %s for parameter TaskHandle is invalid.", r.TaskHandle)
	}
	s.lock()
	defer s.unlock()
	q, err := s.openARN(c, h.SourceARN, time.Now())
	if err != nil {
		return err
	}
	for _, t := range q.moves {
		if t.id != h.TaskID {
			continue
		}
		if t.status != moveRunning {
			return errUnsupported.with("Only active tasks can be cancelled. The task is %s.", t.status)
		}
		t.end(moveCancelled, "")
		w.number("ApproximateNumberOfMessagesMoved", int64(t.moved))
		return nil
	}
	return errNoResource.with("Task does not exist.")
}
