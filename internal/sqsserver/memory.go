package sqsserver

import "time"

// dedupInterval is for how long FIFO queues remember deduplication ids and
// receive attempts. AWS does not let one change it.
const dedupInterval = 5 * time.Minute

// remembered is a map whose entries end dedupInterval after they were made. The
// order of making is the order of ending, so forgetting is taking from a queue.
type remembered[V any] struct {
	entries map[string]memory[V]
	order   []memoryEnd
}

type memory[V any] struct {
	value V
	end   time.Time
}

type memoryEnd struct {
	key string
	end time.Time
}

func (r *remembered[V]) get(key string, now time.Time) (V, bool) {
	r.forget(now)
	m, ok := r.entries[key]
	return m.value, ok
}

func (r *remembered[V]) put(key string, value V, now time.Time) {
	r.forget(now)
	if r.entries == nil {
		r.entries = make(map[string]memory[V])
	}
	end := now.Add(dedupInterval)
	r.entries[key] = memory[V]{value, end}
	r.order = append(r.order, memoryEnd{key, end})
}

func (r *remembered[V]) drop(key string) { delete(r.entries, key) }

func (r *remembered[V]) forget(now time.Time) {
	n := 0
	for n < len(r.order) && !r.order[n].end.After(now) {
		// A key that was put again since lives on under its later end.
		if m, ok := r.entries[r.order[n].key]; ok && m.end.Equal(r.order[n].end) {
			delete(r.entries, r.order[n].key)
		}
		n++
	}
	r.order = r.order[n:]
}
