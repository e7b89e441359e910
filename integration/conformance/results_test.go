package conformance

import (
	"cmp"
	"slices"
	"sync"
)

// results gathers the results of this run, whose tests run in parallel.
var results resultList

type resultList struct {
	mu   sync.Mutex
	list []*Result
}

func (l *resultList) add(r *Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
}

func (l *resultList) all() []*Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(slices.Values(l.list), func(a, b *Result) int { return cmp.Compare(a.Backend, b.Backend) })
}
