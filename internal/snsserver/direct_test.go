package snsserver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

func TestGoAPI(t *testing.T) {
	t.Parallel()
	b := setupWith(t, snsserver.Config{Account: "222222222222", Region: "eu-west-1"})
	standard := must(b.server.Create("orders", map[string]string{"DisplayName": "Orders"}))(t)
	fifo := must(b.server.Create("orders.fifo", map[string]string{"ContentBasedDeduplication": "true"}))(t)
	if standard != "arn:aws:sns:eu-west-1:222222222222:orders" {
		t.Errorf("topic %s", standard)
	}
	if v, ok := b.server.Topic(standard); !ok || v.Attributes["DisplayName"] != "Orders" || v.FIFO {
		t.Errorf("topic %+v", v)
	}
	must(b.server.Publish(fifo, snsserver.Message{Body: "x", Group: "g", Subject: "s", Attributes: map[string]snsserver.Attribute{"a": {Type: "Binary", Binary: []byte{1}}}}))(t)
	got := b.server.Published(fifo)
	for i := range got {
		got[i].At = got[i].At.Truncate(1 << 62)
	}
	want := []snsserver.Publication{{
		Topic: fifo, MessageID: "00000000-0000-4000-a000-000000000003", Body: "x", Subject: "s", Group: "g",
		Dedup: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", Sequence: "10000000000000000001",
		Attributes: map[string]snsserver.Attribute{"a": {Type: "Binary", Binary: []byte{1}}}, At: got[0].At,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}

	for name, c := range map[string]struct {
		topic string
		m     snsserver.Message
		want  string
	}{
		"no such topic":    {"x", snsserver.Message{Body: "x"}, "NotFound: Topic does not exist"},
		"an empty message": {standard, snsserver.Message{}, "InvalidParameter: Invalid parameter: Empty message"},
		"no group":         {fifo, snsserver.Message{Body: "x"}, "InvalidParameter: Invalid parameter: The MessageGroupId parameter is required for FIFO topics"},
		"a bad attribute":  {standard, snsserver.Message{Body: "x", Attributes: map[string]snsserver.Attribute{"a": {Text: "x"}}}, "ValidationError: 1 validation error detected: Value null at 'messageAttributes.a.member.dataType' failed to satisfy constraint: Member must not be null"},
	} {
		if _, err := b.server.Publish(c.topic, c.m); fmt.Sprint(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if _, err := b.server.Create("a b", nil); err == nil {
		t.Error("a topic with a bad name")
	}
}

func TestServerWithoutQueues(t *testing.T) {
	t.Parallel()
	s := snsserver.New(snsserver.Config{NoSignature: true}, nil)
	b := &bundle{T: t, server: s, queues: newQueues(), client: clientOf(s, "AKIDTEST"), ctx: t.Context()}
	topic := b.topic("orders")
	b.subscribe(topic, queueARN("q"))
	id := b.publish(topic, "x")
	if got := s.Why(id, queueARN("q")); !strings.HasPrefix(got, "lost: AWS.SimpleQueueService.NonExistentQueue") {
		t.Errorf("Why: %s", got)
	}
}
