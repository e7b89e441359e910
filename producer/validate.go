package producer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast-go/holdfast"
)

// Limits of SQS and SNS.
const (
	maxBatch      = 10      // entries per call [SQS quotas]
	maxMessage    = 1 << 20 // bytes of body and attributes, also of a batch [SendMessageBatch]
	maxPublish    = 256 << 10
	maxAttributes = 10
	maxName       = 256 // characters of an attribute's name, and of its type
	maxToken      = 128 // characters of a group or deduplication id
	maxDelay      = 15 * time.Minute
	maxSubject    = 99      // [Publish]: less than 100
	maxPointer    = 1 << 10 // bytes that an Offloader leaves of a body, its attribute included
)

// validate reports all that SQS or SNS would refuse about m. It looks at what the
// sender gave, before the producer adds its own.
func (t target) validate(m *Message) error {
	var errs []error
	bad := func(field string, value any, bound string) {
		errs = append(errs, &MessageError{Field: field, Value: value, Bound: bound})
	}
	if m.Body == "" {
		bad("Body", `""`, "at least 1 byte")
	}
	character := func(field, text string) {
		if r, at := badCharacter(text); at >= 0 {
			bad(field, fmt.Sprintf("text with %U at byte %d", r, at), "text in the characters of XML 1.0: no control characters but tab, line feed and carriage return, and valid UTF-8")
		}
	}
	character("Body", m.Body)
	t.attributes(m, bad, character)
	token := func(field, id string) {
		if id != "" && !validToken(id) {
			bad(field, strconv.Quote(id), "1 to 128 letters, digits and punctuation marks of ASCII")
		}
	}
	token("GroupID", m.GroupID)
	token("DeduplicationID", m.DeduplicationID)
	if t.fifo && m.GroupID == "" {
		bad("GroupID", `""`, "set: a FIFO "+t.kind()+" keeps order by group")
	}
	if !t.fifo && m.DeduplicationID != "" {
		bad("DeduplicationID", strconv.Quote(m.DeduplicationID), "empty: only a FIFO "+t.kind()+" takes one; Key works on both")
	}
	character("Key", m.Key)
	character("ContentType", m.ContentType)
	if h := m.Trace.AWSTraceHeader; !validHeader(h) {
		bad("Trace.AWSTraceHeader", strconv.Quote(h), "printable characters of ASCII")
	}
	character("Trace.TraceState", m.Trace.TraceState)
	if m.Trace.TraceParent != "" && !validTraceParent(m.Trace.TraceParent) {
		bad("Trace.TraceParent", strconv.Quote(m.Trace.TraceParent), "as W3C Trace Context has it, 00-(32 hex digits)-(16 hex digits)-(2 hex digits)")
	}
	switch {
	case m.Delay == 0:
	case t.topic:
		bad("Delay", m.Delay, "0: a topic has no delay")
	case t.fifo:
		bad("Delay", m.Delay, "0: SQS takes no delay per message on a FIFO queue; set the queue's DelaySeconds")
	case m.Delay < 0 || m.Delay > maxDelay || m.Delay%time.Second != 0:
		bad("Delay", m.Delay, "whole seconds, 0s to 15m0s")
	}
	switch {
	case m.Subject == "":
	case !t.topic:
		bad("Subject", strconv.Quote(m.Subject), "empty: a queue has no subjects")
	case !validSubject(m.Subject):
		bad("Subject", strconv.Quote(m.Subject), "up to 99 characters without line breaks and control characters")
	}
	return errors.Join(errs...)
}

// attributes reports what is wrong with the attributes of m, those that the
// producer will add counted in.
func (t target) attributes(m *Message, bad func(field string, value any, bound string), character func(field, text string)) {
	n := len(m.Attributes)
	for _, own := range []struct {
		attribute
		counts bool // else it gives way where there is no room
	}{
		{attribute{KeyAttribute, m.Key}, true}, {attribute{ContentTypeAttribute, m.ContentType}, true},
		{attribute{TraceParentAttribute, m.Trace.TraceParent}, false}, {attribute{TraceStateAttribute, m.Trace.TraceState}, false},
	} {
		if own.value == "" {
			continue
		}
		if own.counts {
			n++
		}
		if _, twice := m.Attributes[own.name]; twice {
			bad(fmt.Sprintf("Attributes[%q]", own.name), "set", "not set beside the field that is sent as this attribute")
		}
	}
	if n > maxAttributes {
		bad("Attributes", fmt.Sprintf("%d with those of Key and ContentType", n), "at most 10")
	}
	for name, a := range m.Attributes {
		field := fmt.Sprintf("Attributes[%q]", name)
		if !validName(name) {
			bad(field, "a name", "1 to 256 letters, digits, '_', '-' and '.', no '.' first, last or twice in a row, and neither AWS. nor Amazon. at its start")
		}
		kind, valid := kindOf(a)
		switch {
		case !valid:
			bad(field+".Type", strconv.Quote(a.Type), "String, Number or Binary, with an optional label as in Number.int, up to 256 characters")
		case kind == "Binary" && (len(a.Binary) == 0 || a.String != ""):
			bad(field, fmt.Sprintf("%d bytes and text %q", len(a.Binary), a.String), "at least 1 byte in Binary and nothing in String, where Type is Binary")
		case kind != "Binary" && (a.String == "" || len(a.Binary) > 0):
			bad(field, fmt.Sprintf("text %q and %d bytes", a.String, len(a.Binary)), "text in String and nothing in Binary, where Type is "+kind)
		case kind == "Number" && !validNumber(a.String):
			bad(field, strconv.Quote(a.String), "a decimal number, where Type is Number")
		case kind == "String":
			character(field, a.String)
		}
	}
}

// fits reports a message that is larger than the target takes.
func (t target) fits(size, limit int, offloads bool) error {
	if size <= limit {
		return nil
	}
	bound := fmt.Sprintf("at most %d bytes with its attributes", limit)
	if !offloads {
		bound += "; set Config.Offload to keep larger ones elsewhere (package claimcheck)"
	}
	return &MessageError{Field: "Body", Value: fmt.Sprintf("%d bytes with its attributes", size), Bound: bound}
}

// roomForPointer reports attributes, of so many bytes, beside which no pointer has room,
// so that it is useless to put the body elsewhere.
func (t target) roomForPointer(m *Message, attributes, limit int) error {
	room := limit - min(maxPointer, limit/2)
	switch {
	case attributes > room:
		return &MessageError{
			Field: "Attributes", Value: fmt.Sprintf("%d bytes with those of Key, ContentType and Trace", attributes),
			Bound: fmt.Sprintf("at most %d bytes, where the body is too large and put elsewhere", room),
		}
	case len(m.Attributes) >= maxAttributes:
		return &MessageError{Field: "Attributes", Value: len(m.Attributes), Bound: "at most 9 with those of Key and ContentType, where the body is too large and put elsewhere"}
	}
	return nil
}

func kindOf(a holdfast.Attribute) (kind string, valid bool) {
	kind, label, labelled := strings.Cut(a.Type, ".")
	valid = len(a.Type) <= maxName && (kind == "String" || kind == "Number" || kind == "Binary") &&
		(!labelled || label != "" && !strings.HasSuffix(label, ".") && only(label, "_-."))
	return kind, valid
}

func validName(s string) bool {
	lower := strings.ToLower(s[:min(len(s), 7)])
	return s != "" && len(s) <= maxName && only(s, "_-.") && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..") &&
		!strings.HasPrefix(lower, "aws.") && !strings.HasPrefix(lower, "amazon.")
}

func validToken(s string) bool {
	return s != "" && len(s) <= maxToken && only(s, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
}

// validHeader tells what may be the value of an HTTP header, which a trace becomes.
func validHeader(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// validNumber leaves out what ParseFloat takes beyond decimal numbers.
func validNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil && strings.Trim(s, "+-.eE0123456789") == ""
}

func validSubject(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxSubject &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// only tells whether s has no characters but letters and digits of ASCII and those
// of extra.
func only(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}

// badCharacter finds the first character that SQS and SNS do not take [SendMessage],
// at -1 where there is none.
func badCharacter(s string) (r rune, at int) {
	for i := 0; i < len(s); {
		if c := s[i]; c >= 0x20 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return r, i
		}
		i += n
	}
	return 0, -1
}
