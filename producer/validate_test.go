package producer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// faults are the errors about the fields of a message, one line each.
func faults(err error) []string {
	var list []string
	var walk func(error)
	walk = func(err error) {
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range several.Unwrap() {
				walk(err)
			}
		} else if bad := (*producer.MessageError)(nil); errors.As(err, &bad) {
			list = append(list, strings.TrimPrefix(bad.Error(), "producer: the message's "))
		}
	}
	walk(err)
	return list
}

func text(s string) holdfast.Attribute { return holdfast.Attribute{Type: "String", String: s} }

func attributes(n int) map[string]holdfast.Attribute {
	all := make(map[string]holdfast.Attribute)
	for i := range n {
		all[fmt.Sprintf("a%d", i)] = text("x")
	}
	return all
}

const (
	wantToken = "it must be 1 to 128 letters, digits and punctuation marks of ASCII"
	wantName  = "it must be 1 to 256 letters, digits, '_', '-' and '.', no '.' first, last or twice in a row, and neither AWS. nor Amazon. at its start"
	wantText  = "it must be text in the characters of XML 1.0: no control characters but tab, line feed and carriage return, and valid UTF-8"
	wantType  = "it must be String, Number or Binary, with an optional label as in Number.int, up to 256 characters"
)

func TestMessages(t *testing.T) {
	t.Parallel()
	one := func(name string, a holdfast.Attribute) producer.Message {
		return producer.Message{Body: "x", Attributes: map[string]holdfast.Attribute{name: a}}
	}
	for name, tt := range map[string]struct {
		to   string // queue, queue.fifo, topic or topic.fifo
		m    producer.Message
		want []string // nil: accepted, by the server too
	}{
		"no body":                         {"queue", producer.Message{}, []string{`Body is ""; it must be at least 1 byte`}},
		"a body with a NUL":               {"queue", producer.Message{Body: "a\x00"}, []string{"Body is text with U+0000 at byte 1; " + wantText}},
		"a body that is not UTF-8":        {"queue", producer.Message{Body: "ab\xff"}, []string{"Body is text with U+FFFD at byte 2; " + wantText}},
		"a body with U+FFFE":              {"topic", producer.Message{Body: "\ufffe"}, []string{"Body is text with U+FFFE at byte 0; " + wantText}},
		"all characters of XML":           {"queue", producer.Message{Body: "\t\n\r \ufffd\U0010ffff\ue000é"}, nil},
		"a body of 1 MiB":                 {"queue", producer.Message{Body: strings.Repeat("x", 1<<20)}, nil},
		"one byte more":                   {"queue", producer.Message{Body: strings.Repeat("x", 1<<20+1)}, []string{"Body is 1048577 bytes with its attributes; it must be at most 1048576 bytes with its attributes; set Config.Offload to keep larger ones elsewhere (package claimcheck)"}},
		"1 MiB with an attribute":         {"queue", producer.Message{Body: strings.Repeat("x", 1<<20-7), Attributes: map[string]holdfast.Attribute{"a": text("x")}}, []string{"Body is 1048577 bytes with its attributes; it must be at most 1048576 bytes with its attributes; set Config.Offload to keep larger ones elsewhere (package claimcheck)"}},
		"256 KiB to a topic":              {"topic", producer.Message{Body: strings.Repeat("x", 256<<10)}, nil},
		"one byte more to a topic":        {"topic", producer.Message{Body: strings.Repeat("x", 256<<10+1)}, []string{"Body is 262145 bytes with its attributes; it must be at most 262144 bytes with its attributes; set Config.Offload to keep larger ones elsewhere (package claimcheck)"}},
		"2 KiB to a topic of less":        {"small", producer.Message{Body: strings.Repeat("x", 2<<10)}, []string{"Body is 2048 bytes with its attributes; it must be at most 1024 bytes with its attributes; set Config.Offload to keep larger ones elsewhere (package claimcheck)"}},
		"ten attributes":                  {"queue", producer.Message{Body: "x", Attributes: attributes(10)}, nil},
		"eleven attributes":               {"queue", producer.Message{Body: "x", Attributes: attributes(11)}, []string{"Attributes is 11 with those of Key and ContentType; it must be at most 10"}},
		"nine, a key and a content type":  {"queue", producer.Message{Body: "x", Attributes: attributes(9), Key: "k", ContentType: "t"}, []string{"Attributes is 11 with those of Key and ContentType; it must be at most 10"}},
		"a key given twice":               {"queue", producer.Message{Body: "x", Key: "k", Attributes: map[string]holdfast.Attribute{"idempotency-key": text("k")}}, []string{`Attributes["idempotency-key"] is set; it must be not set beside the field that is sent as this attribute`}},
		"a trace given twice":             {"queue", producer.Message{Body: "x", Trace: producer.Trace{TraceParent: parent}, Attributes: map[string]holdfast.Attribute{"traceparent": text(parent)}}, []string{`Attributes["traceparent"] is set; it must be not set beside the field that is sent as this attribute`}},
		"a name of all characters":        {"queue", one("a.B-9_z", text("x")), nil},
		"an empty name":                   {"queue", one("", text("x")), []string{`Attributes[""] is a name; ` + wantName}},
		"a name with a space":             {"queue", one("a b", text("x")), []string{`Attributes["a b"] is a name; ` + wantName}},
		"a name of AWS":                   {"queue", one("aWs.x", text("x")), []string{`Attributes["aWs.x"] is a name; ` + wantName}},
		"a name of Amazon":                {"topic", one("Amazon.x", text("x")), []string{`Attributes["Amazon.x"] is a name; ` + wantName}},
		"a name with two dots":            {"queue", one("a..b", text("x")), []string{`Attributes["a..b"] is a name; ` + wantName}},
		"a name that ends in a dot":       {"queue", one("a.", text("x")), []string{`Attributes["a."] is a name; ` + wantName}},
		"a name of 256 characters":        {"queue", one(strings.Repeat("n", 256), text("x")), nil},
		"a name of 257 characters":        {"queue", one(strings.Repeat("n", 257), text("x")), []string{`Attributes["` + strings.Repeat("n", 257) + `"] is a name; ` + wantName}},
		"no type":                         {"queue", one("a", holdfast.Attribute{String: "x"}), []string{`Attributes["a"].Type is ""; ` + wantType}},
		"another type":                    {"queue", one("a", holdfast.Attribute{Type: "Text", String: "x"}), []string{`Attributes["a"].Type is "Text"; ` + wantType}},
		"an empty label":                  {"queue", one("a", holdfast.Attribute{Type: "String.", String: "x"}), []string{`Attributes["a"].Type is "String."; ` + wantType}},
		"an empty text":                   {"queue", one("a", text("")), []string{`Attributes["a"] is text "" and 0 bytes; it must be text in String and nothing in Binary, where Type is String`}},
		"a text with a control character": {"queue", one("a", text("\x01")), []string{`Attributes["a"] is text with U+0001 at byte 0; ` + wantText}},
		"bytes that are text":             {"queue", one("a", holdfast.Attribute{Type: "Binary", String: "x"}), []string{`Attributes["a"] is 0 bytes and text "x"; it must be at least 1 byte in Binary and nothing in String, where Type is Binary`}},
		"a number":                        {"queue", one("a", holdfast.Attribute{Type: "Number", String: "-1.5e3"}), nil},
		"a number that is none":           {"queue", one("a", holdfast.Attribute{Type: "Number", String: "NaN"}), []string{`Attributes["a"] is "NaN"; it must be a decimal number, where Type is Number`}},
		"no group":                        {"queue.fifo", producer.Message{Body: "x"}, []string{`GroupID is ""; it must be set: a FIFO queue keeps order by group`}},
		"no group for a topic":            {"topic.fifo", producer.Message{Body: "x"}, []string{`GroupID is ""; it must be set: a FIFO topic keeps order by group`}},
		"a group with a space":            {"queue.fifo", producer.Message{Body: "x", GroupID: "a b"}, []string{`GroupID is "a b"; ` + wantToken}},
		"a group of 128 characters":       {"queue.fifo", producer.Message{Body: "x", GroupID: strings.Repeat("~", 128)}, nil},
		"a group of 129 characters":       {"queue", producer.Message{Body: "x", GroupID: strings.Repeat("~", 129)}, []string{`GroupID is "` + strings.Repeat("~", 129) + `"; ` + wantToken}},
		"a deduplication id with a ü":     {"queue.fifo", producer.Message{Body: "x", GroupID: "g", DeduplicationID: "ü"}, []string{`DeduplicationID is "ü"; ` + wantToken}},
		"one on a standard queue":         {"queue", producer.Message{Body: "x", DeduplicationID: "d"}, []string{`DeduplicationID is "d"; it must be empty: only a FIFO queue takes one; Key works on both`}},
		"one on a standard topic":         {"topic", producer.Message{Body: "x", DeduplicationID: "d"}, []string{`DeduplicationID is "d"; it must be empty: only a FIFO topic takes one; Key works on both`}},
		"a key with a control character":  {"queue", producer.Message{Body: "x", Key: "a\x02"}, []string{"Key is text with U+0002 at byte 1; " + wantText}},
		"a delay of 15 minutes":           {"queue", producer.Message{Body: "x", Delay: 15 * time.Minute}, nil},
		"a delay beyond":                  {"queue", producer.Message{Body: "x", Delay: 15*time.Minute + time.Second}, []string{"Delay is 15m1s; it must be whole seconds, 0s to 15m0s"}},
		"a delay of milliseconds":         {"queue", producer.Message{Body: "x", Delay: time.Millisecond}, []string{"Delay is 1ms; it must be whole seconds, 0s to 15m0s"}},
		"a delay below nothing":           {"queue", producer.Message{Body: "x", Delay: -time.Second}, []string{"Delay is -1s; it must be whole seconds, 0s to 15m0s"}},
		"a delay on FIFO":                 {"queue.fifo", producer.Message{Body: "x", GroupID: "g", Delay: time.Second}, []string{"Delay is 1s; it must be 0: SQS takes no delay per message on a FIFO queue; set the queue's DelaySeconds"}},
		"a delay to a topic":              {"topic", producer.Message{Body: "x", Delay: time.Second}, []string{"Delay is 1s; it must be 0: a topic has no delay"}},
		"a subject for a queue":           {"queue", producer.Message{Body: "x", Subject: "s"}, []string{`Subject is "s"; it must be empty: a queue has no subjects`}},
		"a subject of 99 characters":      {"topic", producer.Message{Body: "x", Subject: strings.Repeat("é", 99)}, nil},
		"a subject of two lines":          {"topic", producer.Message{Body: "x", Subject: "a\nb"}, []string{`Subject is "a\nb"; it must be up to 99 characters without line breaks and control characters`}},
		"a malformed trace":               {"queue", producer.Message{Body: "x", Trace: producer.Trace{TraceParent: "00-1-2-01"}}, []string{`Trace.TraceParent is "00-1-2-01"; it must be as W3C Trace Context has it, 00-(32 hex digits)-(16 hex digits)-(2 hex digits)`}},
		"a trace of two lines":            {"topic", producer.Message{Body: "x", Trace: producer.Trace{AWSTraceHeader: "Root=1\nx"}}, []string{`Trace.AWSTraceHeader is "Root=1\nx"; it must be printable characters of ASCII`}},
		"a trace with a DEL":              {"queue", producer.Message{Body: "x", Trace: producer.Trace{AWSTraceHeader: "Root=1\x7f"}}, []string{`Trace.AWSTraceHeader is "Root=1\x7f"; it must be printable characters of ASCII`}},
		"several at once": {"queue", producer.Message{Delay: -1, Subject: "s", GroupID: "ö"}, []string{
			`Body is ""; it must be at least 1 byte`, `GroupID is "ö"; ` + wantToken, "Delay is -1ns; it must be whole seconds, 0s to 15m0s", `Subject is "s"; it must be empty: a queue has no subjects`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				var p *producer.Producer
				switch tt.to {
				case "small":
					p = toTopic(t, srv, srv.Topic(t, "small", sqstest.TopicAttribute("MaximumMessageSize", "1024")))
				case "topic", "topic.fifo":
					p = toTopic(t, srv, srv.Topic(t, tt.to))
				default:
					p = to(t, srv, srv.Queue(t, tt.to), producer.Config{})
				}
				err := p.Send(t.Context(), tt.m)
				if tt.want == nil {
					if err != nil {
						t.Errorf("error %v, want none", err)
					}
					return
				}
				if diff := cmp.Diff(tt.want, faults(err)); diff != "" {
					t.Errorf("faults (-want +got):\n%s", diff)
				}
				if n := srv.Calls("SendMessageBatch") + srv.Calls("PublishBatch"); n != 0 {
					t.Errorf("%d requests, want none for what would be refused", n)
				}
			})
		})
	}
}

// FuzzMessages holds what the producer takes against what the server takes.
func FuzzMessages(f *testing.F) {
	f.Add("body", "name", "String", "value", "group", "key")
	f.Add("\x00", "a..b", "Number.", "1e5", "", "")
	f.Add("é\uffff", "AWS.x", "Binary.gif", "", strings.Repeat("g", 129), "\x01")
	f.Add("b", "traceparent", "String.Array", "[]", "g", "k")
	f.Fuzz(func(t *testing.T, body, name, typ, value, group, key string) {
		srv := sqstest.New(t, sqstest.NoHistory())
		a := holdfast.Attribute{Type: typ, String: value}
		if strings.HasPrefix(typ, "Binary") {
			a = holdfast.Attribute{Type: typ, Binary: []byte(value)}
		}
		m := producer.Message{Body: body, Attributes: map[string]holdfast.Attribute{name: a}, GroupID: group, Key: key}
		for _, queue := range []string{"orders", "orders.fifo"} {
			q := srv.Queue(t, queue)
			p, err := producer.New(srv.SQS(), q.URL, producer.Config{Linger: -1, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			err = p.Send(t.Context(), m)
			if n := p.Stats().Retries; n > 0 {
				t.Errorf("%s: %d retries: %v", queue, n, err)
			}
			if refused := (*producer.EntryError)(nil); errors.As(err, &refused) {
				t.Errorf("%s refused what the producer took: %v", queue, err)
			}
			if err == nil {
				got := q.Messages()[0]
				if got.Body != body || got.Group != group || got.Attributes[name].Text != a.String || got.Attributes[name].Type != typ {
					t.Errorf("%s has %+v", queue, got)
				}
			} else if faults(err) == nil {
				t.Errorf("error %v", err)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
