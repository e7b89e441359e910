package sqsserver

import (
	"context"
	"time"
)

// waiter is a long poll that found nothing. It is answered under the lock by
// whoever makes a message available, so a message goes to exactly one poll and
// the others are not woken.
type waiter struct {
	request *receiveRequest
	done    chan struct{} // closed when result or err is set
	result  []received
	err     *Error

	next, prev *waiter
	waiting    bool
}

type waiterList struct{ head, tail *waiter }

func (l *waiterList) append(w *waiter) {
	w.prev, w.next, w.waiting = l.tail, nil, true
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
}

func (l *waiterList) remove(w *waiter) {
	if !w.waiting {
		return
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.next, w.prev, w.waiting = nil, nil, false
}

// park queues a long poll.
func (q *queue) park(r *receiveRequest) *waiter {
	w := &waiter{request: r, done: make(chan struct{})}
	q.waiters.append(w)
	q.touch() // so that the alarm is set
	return w
}

// await blocks until w is answered, its wait is over, or ctx ends. The lock is
// not held. A context that ends takes the poll off the queue, as AWS does when it
// notices that the client has gone.
func (s *Server) await(ctx context.Context, q *queue, w *waiter, wait time.Duration) ([]received, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	var cancelled error
	select {
	case <-w.done:
	case <-timeout.C:
	case <-ctx.Done():
		cancelled = ctx.Err()
	}

	s.lock()
	defer s.unlock()
	if w.waiting {
		q.waiters.remove(w)
		q.touch()
		return nil, cancelled
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.result, nil
}

// serveWaiters hands what is available to the polls that have waited longest and
// sets the alarm for what will be.
func (q *queue) serveWaiters(now time.Time) {
	if q.waiters.head != nil {
		q.advance(now)
	}
	for w := q.waiters.head; w != nil; w = q.waiters.head {
		got := q.receive(w.request, now)
		if len(got) == 0 {
			break
		}
		w.result = got
		q.waiters.remove(w)
		close(w.done)
	}
	q.setAlarm(now)
}

// failWaiters answers all polls with an error: the queue is gone.
func (q *queue) failWaiters(err *Error) {
	for w := q.waiters.head; w != nil; w = q.waiters.head {
		w.err = err
		q.waiters.remove(w)
		close(w.done)
	}
}

// setAlarm keeps one timer per queue, and only while somebody waits and
// something will become visible. A new timer is made each time: a timer belongs
// to the synctest bubble it was made in, and a server may outlive one.
func (q *queue) setAlarm(now time.Time) {
	due := q.timers.first()
	if q.waiters.head == nil || due == nil {
		if q.alarm != nil {
			q.alarm.Stop()
			q.alarm = nil
		}
		return
	}
	if q.alarm != nil {
		if q.alarmAt.Equal(due.visibleAt) {
			return
		}
		q.alarm.Stop()
	}
	q.alarmAt = due.visibleAt
	q.alarm = time.AfterFunc(due.visibleAt.Sub(now), q.ring)
}

func (q *queue) ring() {
	q.server.lock()
	defer q.server.unlock()
	q.alarm = nil
	q.touch()
}
