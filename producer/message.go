package producer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"time"

	"github.com/holdfast-go/holdfast"
)

// The attributes that the producer adds to a message, where they are asked for.
const (
	// KeyAttribute holds Message.Key. Name it in idempotency.Config.KeyAttribute.
	KeyAttribute = "idempotency-key"
	// ContentTypeAttribute holds Message.ContentType.
	ContentTypeAttribute = "content-type"
	// TraceParentAttribute and TraceStateAttribute are those of W3C Trace Context.
	TraceParentAttribute = "traceparent"
	TraceStateAttribute  = "tracestate"
)

// Message is what is sent to a queue or a topic. Send and SendBatch read it and
// write to nothing in it; the maps and slices in it must not change meanwhile. The
// zero Message has no body and is refused.
type Message struct {
	// Body is the payload, text of at least one byte in the characters of XML 1.0:
	// encode what is binary. Together with the attributes (names, types and values)
	// it is at most as large as the target takes: 1 MiB for a queue and 256 KiB for a
	// topic, unless they were set up otherwise.
	Body string
	// Attributes are message attributes, at most ten with those that the producer
	// adds. Names have up to 256 letters, digits, '_', '-' and '.', and do not begin
	// with "AWS." or "Amazon.".
	Attributes map[string]holdfast.Attribute

	// Key names the work: the same key twice is the same work, done once by a
	// consumer with idempotency.Config.KeyAttribute = producer.KeyAttribute. It is
	// sent as that attribute and, where there is no DeduplicationID, a FIFO target's
	// is made of it, so that a second one within five minutes does not even arrive.
	Key string
	// GroupID is the message group: required on FIFO, where the messages of a group
	// stay in order. On a standard queue it is the tenant of fair queues. 1 to 128
	// letters, digits and punctuation marks of ASCII.
	GroupID string
	// DeduplicationID is for FIFO only: what comes again with the same one within five
	// minutes is accepted and not delivered. The form is that of GroupID. Where it is
	// empty one is made, of Key or else at random, once per message, so that tries of
	// the same Send never double it.
	DeduplicationID string
	// Delay hides the message from receivers at first, in whole seconds, up to 15
	// minutes. Standard queues only: SQS takes no delay per message on FIFO, and
	// topics have none. 0 leaves it to the queue.
	Delay time.Duration

	// ContentType is sent as the attribute content-type where it is set.
	ContentType string
	// Subject is for topics: up to 99 characters without line breaks.
	Subject string
	// Trace is the trace that the message belongs to. Where it is zero,
	// Config.Trace tells it.
	Trace Trace
}

// Result is what became of one message of a SendBatch.
type Result struct {
	// MessageID is the id that SQS or SNS gave it.
	MessageID string
	// SequenceNumber is the place in the order of a FIFO target's message.
	SequenceNumber string
	// Err is nil for a message that was accepted; else as Send would return it.
	Err error
}

// complete returns m with all that is sent along, and its size as SQS and SNS count
// it. It is called once per message, before the first try.
func (p *Producer) complete(ctx context.Context, m Message) (Message, int) {
	if p.to.fifo && m.DeduplicationID == "" {
		m.DeduplicationID = deduplicationID(m.Key)
	}
	add := make([]attribute, 0, 4)
	if m.Key != "" {
		add = append(add, attribute{KeyAttribute, m.Key})
	}
	if m.ContentType != "" {
		add = append(add, attribute{ContentTypeAttribute, m.ContentType})
	}
	trace, dropped := p.trace(ctx, &m)
	m.Trace = trace
	room := maxAttributes - len(m.Attributes) - len(add)
	if p.cfg.Offload != nil {
		room-- // it adds one
	}
	switch {
	case m.Trace.TraceParent == "":
	case room <= 0:
		dropped = true
	default:
		add = append(add, attribute{TraceParentAttribute, m.Trace.TraceParent})
		if m.Trace.TraceState != "" && room > 1 {
			add = append(add, attribute{TraceStateAttribute, m.Trace.TraceState})
		}
	}
	if dropped {
		p.stats.tracesDropped.Add(1)
	}
	for i, a := range add {
		if i == 0 {
			m.Attributes = cloneWithRoom(m.Attributes, len(add))
		}
		m.Attributes[a.name] = holdfast.Attribute{Type: "String", String: a.value}
	}
	return m, sizeOf(m)
}

type attribute struct{ name, value string }

// cloneWithRoom copies attributes, which are the sender's, for n more.
func cloneWithRoom(attributes map[string]holdfast.Attribute, n int) map[string]holdfast.Attribute {
	all := make(map[string]holdfast.Attribute, len(attributes)+n)
	maps.Copy(all, attributes)
	return all
}

// deduplicationID is that of a key, else one that nothing else has.
func deduplicationID(key string) string {
	if key == "" {
		return rand.Text()
	}
	sum := sha256.Sum256([]byte(key))
	return "key-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// sizeOf is the size of a message as SQS and SNS count it: body and, for each
// attribute, name, type and value.
func sizeOf(m Message) int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(a.Type) + len(a.String) + len(a.Binary)
	}
	return n
}
