package consumer_test

import (
	"testing"

	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/internal/cause"
	"github.com/holdfast-go/holdfast/sqstest"
)

// causeOf reads the cause that a dead-lettered message carries.
func causeOf(t *testing.T, m sqstest.Message) cause.Cause {
	t.Helper()
	a, ok := m.Attributes[consumer.CauseAttribute]
	if !ok {
		t.Fatalf("message %s has no attribute %s: %v", m.ID, consumer.CauseAttribute, m.Attributes)
	}
	if len(a.Text) > cause.Max || a.Type != "String" {
		t.Errorf("the cause is a %s of %d bytes, want a String of at most %d", a.Type, len(a.Text), cause.Max)
	}
	c, err := cause.Decode(a.Text)
	if err != nil {
		t.Fatalf("cause %q: %v", a.Text, err)
	}
	return c
}
