package snsserver

// ring keeps the newest limit items; 0 or less keeps none.
type ring[T any] struct {
	limit int
	items []T // oldest first; up to twice the limit
}

func (r *ring[T]) add(item T) {
	if r.limit <= 0 {
		return
	}
	if len(r.items) >= 2*r.limit {
		r.items = append(r.items[:0:0], r.items[r.limit:]...)
	}
	r.items = append(r.items, item)
}

// kept is the newest items, oldest first. The slice is the ring's own.
func (r *ring[T]) kept() []T {
	if n := len(r.items) - max(r.limit, 0); n > 0 {
		return r.items[n:]
	}
	return r.items
}
