package sqsserver

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// redrivePolicy is a queue's RedrivePolicy attribute.
type redrivePolicy struct {
	target string // ARN
	max    int
}

// parseRedrivePolicy reads {"deadLetterTargetArn": ..., "maxReceiveCount": ...}.
// The count may be a number or, as the console writes it, a string.
func parseRedrivePolicy(text string) (*redrivePolicy, error) {
	var p struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"`
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("redrive policy: %w", err)
	}
	if _, ok := splitARN(p.Target); !ok {
		return nil, fmt.Errorf("redrive policy: deadLetterTargetArn %q is not the ARN of a queue", p.Target)
	}
	n := 10 // AWS's default
	if len(p.Max) > 0 {
		var err error
		if n, err = strconv.Atoi(strings.Trim(string(p.Max), `"`)); err != nil || n < 1 || n > 1000 {
			return nil, fmt.Errorf("redrive policy: maxReceiveCount %s is not in 1..1000", p.Max)
		}
	}
	return &redrivePolicy{target: p.Target, max: n}, nil
}

// setRedrivePolicy takes an empty text as "no policy", as AWS does.
func setRedrivePolicy(st *settings, text string) bool {
	st.redrive, st.redriveText = nil, ""
	if text == "" {
		return true
	}
	p, err := parseRedrivePolicy(text)
	if err != nil {
		return false
	}
	st.redrive, st.redriveText = p, text
	return true
}

// redriveAllowPolicy is a dead-letter queue's word on who may use it.
type redriveAllowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns"`
}

func parseRedriveAllowPolicy(text string) (*redriveAllowPolicy, error) {
	var p redriveAllowPolicy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("redrive allow policy: %w", err)
	}
	switch {
	case p.Permission != "allowAll" && p.Permission != "denyAll" && p.Permission != "byQueue":
		return nil, fmt.Errorf("redrive allow policy: redrivePermission %q is none of allowAll, denyAll, byQueue", p.Permission)
	case p.Permission == "byQueue" && (len(p.Sources) < 1 || len(p.Sources) > 10):
		return nil, fmt.Errorf("redrive allow policy: %d sourceQueueArns are not in 1..10", len(p.Sources))
	case p.Permission != "byQueue" && len(p.Sources) > 0:
		return nil, fmt.Errorf("redrive allow policy: sourceQueueArns with redrivePermission %s", p.Permission)
	}
	return &p, nil
}

func setRedriveAllowPolicy(st *settings, text string) bool {
	st.redriveAllow = text
	if text == "" {
		return true
	}
	_, err := parseRedriveAllowPolicy(text)
	return err == nil
}

// allows says whether the queue with the given ARN may dead-letter into q.
func (q *queue) allows(source string) bool {
	if q.settings.redriveAllow == "" {
		return true
	}
	p, err := parseRedriveAllowPolicy(q.settings.redriveAllow)
	if err != nil || p.Permission == "denyAll" {
		return false
	}
	if p.Permission == "allowAll" {
		return true
	}
	for _, arn := range p.Sources {
		if arn == source {
			return true
		}
	}
	return false
}

// checkRedrive holds a queue's redrive policy against its target: it exists, is
// of the same type, account and region, and lets itself be used.
func (s *Server) checkRedrive(key queueKey, st *settings) *Error {
	if st.redrive == nil {
		return nil
	}
	bad := func(reason string) *Error {
		return errParameter.with("Value %s for parameter RedrivePolicy is invalid. Reason: %s.", st.redriveText, reason)
	}
	to := s.byARN(st.redrive.target)
	switch {
	case to == nil:
		return bad("Dead letter target does not exist")
	case to.key.account != key.account || to.key.region != key.region:
		return bad("Dead-letter target owner should be same as the source")
	case to.settings.fifo != st.fifo:
		return bad("Dead-letter queue must be same type of queue as the source")
	case !to.allows(key.arn()):
		return bad("The dead-letter queue does not allow this queue as its source")
	}
	return nil
}

// deadLetter moves m to the queue's dead-letter queue when its receives here are
// used up. It is false, and m stays, where there is no policy or no such queue.
func (q *queue) deadLetter(m *message, now time.Time) bool {
	p := q.settings.redrive
	if p == nil || m.receivesHere < p.max || m.state == inFlight {
		return false
	}
	to := q.server.byARN(p.target)
	if to == nil {
		return false
	}
	to.advance(now)
	moved := &message{
		content:       m.content,
		enqueued:      m.enqueued,
		deadLetterOf:  q.arn,
		firstReceived: m.firstReceived,
		receives:      m.receives,
	}
	if to.settings.fifo {
		renamed := *m.content
		renamed.dedup = m.id // as AWS documents
		moved.content, moved.enqueued = &renamed, now
	}
	q.drop(m)
	q.history.departed(m, DeadLettered)
	to.enter(moved, 0, now)
	return true
}
