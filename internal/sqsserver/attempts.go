package sqsserver

import "time"

// receivedReceipt is one delivery as a receive attempt remembers it.
type receivedReceipt struct{ message, receipt uint64 }

// remember notes what a receive attempt brought.
func (q *queue) remember(attempt string, got []received, now time.Time) {
	receipts := make([]receivedReceipt, len(got))
	for i := range got {
		r, _ := parseReceipt(got[i].handle)
		receipts[i] = receivedReceipt{r.message, r.receive}
	}
	q.attempts.put(attempt, receipts, now)
}

// again repeats a receive attempt: the same messages under the same handles,
// with their visibility from now, if none of them was changed since.
func (q *queue) again(attempt string, hold time.Duration, now time.Time) []received {
	receipts, ok := q.attempts.get(attempt, now)
	if !ok {
		return nil
	}
	for _, r := range receipts {
		m := q.messages[r.message]
		if m == nil || m.receipt != r.receipt || m.state != inFlight || m.changed {
			q.attempts.drop(attempt)
			return nil
		}
	}
	got := make([]received, len(receipts))
	for i, r := range receipts {
		m := q.messages[r.message]
		q.hide(m, now.Add(hold))
		got[i] = q.delivery(m)
	}
	return got
}
