package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// How long the shop takes. Slow is far longer than the visibility timeout.
const (
	usualWork = 50 * time.Millisecond
	slowWork  = 5 * time.Second
)

var (
	errNoSuchArticle = errors.New("no such article")
	errCardService   = errors.New("card service does not answer")
	errOvertaken     = errors.New("a later run of this order was here")
)

// effect is an entry in the shop's book: what a run of the handler did.
type effect struct {
	order string
	fence int64
	// cents were charged, where err is nil.
	cents int64
	err   error
	took  time.Duration
}

// shop is the world outside the worker. It charges orders, or fails as their
// trouble says, and its book is the truth about what happened: the ledger is made
// from it. Safe for concurrent use.
type shop struct {
	mu     sync.Mutex // guards all below
	book   []effect
	fences map[string]int64 // the greatest seen, by order
	failed map[string]int   // by order
}

func newShop() *shop {
	return &shop{fences: make(map[string]int64), failed: make(map[string]int)}
}

// charge charges an order under a fence.
func (s *shop) charge(ctx context.Context, o Order, fence int64) error {
	begun := time.Now()
	work := usualWork
	if o.Trouble == slow {
		work = slowWork
	}
	t := time.NewTimer(work)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.fences[o.ID]; fence < last {
		return fmt.Errorf("%w: fence %d is below %d", errOvertaken, fence, last)
	}
	s.fences[o.ID] = fence
	e := effect{order: o.ID, fence: fence, took: time.Since(begun)}
	switch {
	case o.Trouble == refused:
		e.err = fmt.Errorf("%w: %s", errNoSuchArticle, o.SKU)
	case o.Trouble == alwaysFails, o.Trouble == failsTwice && s.failed[o.ID] < 2:
		e.err = errCardService
	default:
		e.cents = o.Cents
	}
	if e.err != nil {
		s.failed[o.ID]++
	}
	s.book = append(s.book, e)
	return e.err
}

// effects returns a copy of the book.
func (s *shop) effects() []effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.book)
}

// charged and failed runs so far.
func (s *shop) count() (charged, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.failed {
		failed += n
	}
	return len(s.book) - failed, failed
}
