package main

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast"
)

func settled(id string, o holdfast.Outcome) holdfast.SettledEvent {
	return holdfast.SettledEvent{Message: &holdfast.Message{ID: id}, Outcome: o}
}

func TestQueueIsDrainedWhenAllThatWasSentIsSettledForGood(t *testing.T) {
	t.Parallel()
	d := newDrain()
	steps := []struct {
		name    string
		do      func()
		drained bool
	}{
		{"a message settled before its send is answered", func() { d.onSettled(settled("a", holdfast.Done)) }, false},
		{"its answer", func() { d.sent("a") }, false},
		{"two more sent", func() { d.sent("b"); d.sent("c"); d.sent("d") }, false},
		{"one of them discarded", func() { d.onSettled(settled("d", holdfast.Discarded)) }, false},
		{"all sent", func() { d.sentAll() }, false},
		{"one dead-lettered", func() { d.onSettled(settled("b", holdfast.DeadLettered)) }, false},
		{"the last retried", func() { d.onSettled(settled("c", holdfast.Retried)) }, false},
		{"the last given back", func() { d.onSettled(settled("c", holdfast.GaveBack)) }, false},
		{"the last done", func() { d.onSettled(settled("c", holdfast.Done)) }, true},
		{"one done once more", func() { d.onSettled(settled("c", holdfast.Done)) }, true},
	}
	for _, s := range steps {
		if s.do(); d.isDrained() != s.drained {
			t.Fatalf("after %s: drained is %v, want %v", s.name, d.isDrained(), s.drained)
		}
	}
	if sent, left := d.count(); sent != 4 || left != 0 {
		t.Errorf("%d sent and %d left, want 4 and 0", sent, left)
	}
}

func TestShopRefusesARunThatWasOvertaken(t *testing.T) {
	t.Parallel()
	s := newShop()
	o := Order{ID: "o", Cents: 5}
	if err := s.charge(context.Background(), o, 7); err != nil {
		t.Fatal(err)
	}
	if err := s.charge(context.Background(), o, 6); !errors.Is(err, errOvertaken) {
		t.Errorf("got %v, want %v", err, errOvertaken)
	}
	if charged, failed := s.count(); charged != 1 || failed != 0 {
		t.Errorf("%d charged and %d failed, want 1 and 0", charged, failed)
	}
}

func TestShopDoesNothingForARunThatWasCancelled(t *testing.T) {
	t.Parallel()
	s := newShop()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(holdfast.ErrLeaseLost)
	if err := s.charge(ctx, Order{ID: "o"}, 1); !errors.Is(err, holdfast.ErrLeaseLost) {
		t.Errorf("got %v, want the cause of the context", err)
	}
	if len(s.effects()) != 0 {
		t.Errorf("the book says %v", s.effects())
	}
}
