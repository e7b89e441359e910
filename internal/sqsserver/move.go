package sqsserver

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// moveStatus is what a move task is doing.
type moveStatus string

const (
	moveRunning   moveStatus = "RUNNING"
	moveCompleted moveStatus = "COMPLETED"
	moveCancelled moveStatus = "CANCELLED"
	moveFailed    moveStatus = "FAILED"
)

// movesKept is how many tasks of a queue ListMessageMoveTasks can tell of.
const movesKept = 10

// reasonNoSource is why a task without a destination fails at a message that no
// queue dead-lettered: one that was sent to the dead-letter queue.
const reasonNoSource = "CouldNotDetermineMessageSource"

// moveTask moves a dead-letter queue's messages. Without a rate it moves all that
// are visible when it starts, at once. With one, a timer moves a message each
// 1/rate s; it is the only timer that runs though nobody polls.
type moveTask struct {
	id          string
	source      *queue
	destination string // ARN, "" for each message's own source
	rate        int    // per second, 0: at once
	status      moveStatus
	reason      string // of a failure
	total       int    // messages visible when it started: it moves no more
	moved       int
	started     time.Time
	timer       *time.Timer
}

// handle names the task, and its queue, to CancelMessageMoveTask.
func (t *moveTask) handle() string {
	text, _ := json.Marshal(moveHandle{t.id, t.source.arn}) // two strings
	return base64.StdEncoding.EncodeToString(text)
}

type moveHandle struct {
	TaskID    string `json:"taskId"`
	SourceARN string `json:"sourceArn"`
}

func parseMoveHandle(text string) (h moveHandle, ok bool) {
	plain, err := base64.StdEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(plain, &h) != nil {
		return h, false
	}
	return h, h.TaskID != "" && h.SourceARN != ""
}

// activeMove is the queue's running task, or nil.
func (q *queue) activeMove() *moveTask {
	if n := len(q.moves); n > 0 && q.moves[n-1].status == moveRunning {
		return q.moves[n-1]
	}
	return nil
}

// startMove begins a task. The caller holds the lock and has checked its input.
func (q *queue) startMove(destination string, rate int, now time.Time) *moveTask {
	t := &moveTask{
		id: q.server.uuid(), source: q, destination: destination, rate: rate,
		status: moveRunning, total: q.visible(), started: now,
	}
	if q.moves = append(q.moves, t); len(q.moves) > movesKept {
		q.moves = q.moves[1:]
	}
	if rate == 0 {
		for t.status == moveRunning {
			t.step(now)
		}
		return t
	}
	t.arm()
	return t
}

// arm sets the timer for the next message.
func (t *moveTask) arm() {
	t.timer = time.AfterFunc(time.Second/time.Duration(t.rate), func() {
		s := t.source.server
		s.lock()
		defer s.unlock()
		if t.status != moveRunning {
			return
		}
		now := time.Now()
		t.source.advance(now)
		t.step(now)
		if t.status == moveRunning {
			t.arm()
		}
	})
}

// end stops the task. What it moved stays moved.
func (t *moveTask) end(status moveStatus, reason string) {
	if t.status != moveRunning {
		return
	}
	t.status, t.reason = status, reason
	if t.timer != nil {
		t.timer.Stop()
	}
}

// step moves one message, or ends the task.
func (t *moveTask) step(now time.Time) {
	found := false
	t.source.shelf.offer(1, func(m *message) bool {
		found = true
		if reason := t.move(m, now); reason != "" {
			t.end(moveFailed, reason)
			return true
		}
		t.moved++
		return true
	})
	if t.status == moveRunning && (!found || t.moved >= t.total) {
		t.end(moveCompleted, "")
	}
}

// move takes m to its destination as a new message: with a new id, and all its
// time and receives before it. A reason says why it stays.
func (t *moveTask) move(m *message, now time.Time) (reason string) {
	q := t.source
	arn := t.destination
	if arn == "" {
		arn = m.deadLetterOf
	}
	to := q.server.byARN(arn)
	switch {
	case arn == "":
		reason = reasonNoSource
	case to == nil:
		reason = errNoQueue.Code
	}
	if reason != "" {
		q.shelf.putBack(m)
		return reason
	}
	to.advance(now)
	moved := *m.content
	moved.id = q.server.uuid()
	q.drop(m)
	q.history.departed(m, Redriven)
	to.enter(&message{content: &moved, enqueued: now}, 0, now)
	return ""
}
