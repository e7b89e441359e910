package sqsserver

import (
	"strconv"
	"unicode/utf8"
)

// fastRequest is a request of the hot path: it reads its usual form by itself, at a
// third of what encoding/json takes. It is false for whatever it does not expect,
// which encoding/json then reads, or refuses in its own words, from the start.
type fastRequest interface {
	readFast(r *jsonReader) bool
}

// jsonReader reads JSON of the form that SDKs write. Once something is not so, bad
// is set and stays set.
type jsonReader struct {
	b   []byte
	i   int
	bad bool
}

// peek is the next byte that is not space, 0 at the end.
func (r *jsonReader) peek() byte {
	for ; r.i < len(r.b); r.i++ {
		switch c := r.b[r.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take goes past c if it comes next.
func (r *jsonReader) take(c byte) bool {
	if r.bad || r.peek() != c {
		return false
	}
	r.i++
	return true
}

func (r *jsonReader) want(c byte) { r.bad = !r.take(c) || r.bad }

// done tells whether all was read, and was as expected.
func (r *jsonReader) done() bool { return !r.bad && r.peek() == 0 && r.i == len(r.b) }

// object calls field with each name; field reads the value.
func (r *jsonReader) object(field func(name []byte)) {
	r.want('{')
	if r.take('}') {
		return
	}
	for !r.bad {
		name := r.span()
		r.want(':')
		if r.bad {
			return
		}
		field(name)
		if r.take('}') {
			return
		}
		r.want(',')
	}
}

// array calls element for each element; element reads it.
func (r *jsonReader) array(element func()) {
	r.want('[')
	if r.take(']') {
		return
	}
	for !r.bad {
		element()
		if r.take(']') {
			return
		}
		r.want(',')
	}
}

// span is the bytes of a string without escapes, and of ASCII.
func (r *jsonReader) span() []byte {
	r.want('"')
	start := r.i
	for r.i < len(r.b) && plain[r.b[r.i]] {
		r.i++
	}
	end := r.i
	if r.bad || end == len(r.b) || r.b[end] != '"' {
		r.bad = true
		return nil
	}
	r.i++
	return r.b[start:end]
}

// text reads a string.
func (r *jsonReader) text() string {
	r.want('"')
	if r.bad {
		return ""
	}
	end := r.i
	for end < len(r.b) && (plain[r.b[end]] || r.b[end] >= utf8.RuneSelf) {
		end++
	}
	if end == len(r.b) {
		r.bad = true
		return ""
	}
	if r.b[end] == '"' {
		raw := r.b[r.i:end]
		r.i = end + 1
		return r.checked(raw)
	}
	return r.escaped()
}

// escaped reads the rest of a string with escapes.
func (r *jsonReader) escaped() string {
	var out []byte
	for r.i < len(r.b) {
		c := r.b[r.i]
		r.i++
		switch {
		case c == '"':
			return r.checked(out)
		case c != '\\':
		case r.i == len(r.b):
			r.bad = true
			return ""
		default:
			if c = unescaped[r.b[r.i]]; c == 0 { // \u, or none
				r.bad = true
				return ""
			}
			r.i++
			out = append(out, c)
			continue
		}
		if c < 0x20 {
			break
		}
		out = append(out, c)
	}
	r.bad = true
	return ""
}

// unescaped is what the character after a backslash stands for, 0 for others.
var unescaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

// checked is the string of bytes that were read, unless they are no UTF-8.
func (r *jsonReader) checked(raw []byte) string {
	ascii := true
	for _, c := range raw {
		if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	if !ascii && !utf8.Valid(raw) {
		r.bad = true
		return ""
	}
	return string(raw)
}

// number reads a whole number.
func (r *jsonReader) number() *int {
	r.peek()
	start := r.i
	for r.i < len(r.b) && (r.b[r.i] == '-' || '0' <= r.b[r.i] && r.b[r.i] <= '9') {
		r.i++
	}
	digits := r.b[start:r.i]
	n, err := strconv.Atoi(string(digits))
	if err != nil || len(digits) > 1 && (digits[0] == '0' || digits[0] == '-' && digits[1] == '0') {
		r.bad = true
	}
	return &n
}

// texts reads a list of strings.
func (r *jsonReader) texts() []string {
	out := []string{}
	r.array(func() { out = append(out, r.text()) })
	return out
}

func (r *sendMessageBatch) readFast(in *jsonReader) bool {
	in.object(func(name []byte) {
		switch string(name) {
		case "QueueUrl":
			r.QueueURL = in.text()
		case "Entries":
			in.bad = in.bad || r.Entries != nil
			r.Entries = make([]sendEntry, 0, maxBatch)
			in.array(func() {
				r.Entries = append(r.Entries, sendEntry{})
				e := &r.Entries[len(r.Entries)-1]
				in.object(func(name []byte) {
					if string(name) == "Id" {
						e.ID = in.text()
						return
					}
					e.readField(name, in)
				})
			})
		default:
			in.bad = true
		}
	})
	return in.done()
}

func (r *sendMessage) readFast(in *jsonReader) bool {
	in.object(func(name []byte) {
		if string(name) == "QueueUrl" {
			r.QueueURL = in.text()
			return
		}
		r.readField(name, in)
	})
	return in.done()
}

// readField reads what messages with attributes do not have.
func (o *outgoing) readField(name []byte, in *jsonReader) {
	var to **string
	switch string(name) {
	case "MessageBody":
		to = &o.MessageBody
	case "MessageGroupId":
		to = &o.MessageGroupID
	case "MessageDeduplicationId":
		to = &o.MessageDeduplicationID
	case "DelaySeconds":
		o.DelaySeconds = in.number()
		return
	default:
		in.bad = true
		return
	}
	text := in.text()
	*to = &text
}

func (r *deleteMessageBatch) readFast(in *jsonReader) bool {
	in.object(func(name []byte) {
		switch string(name) {
		case "QueueUrl":
			r.QueueURL = in.text()
		case "Entries":
			in.bad = in.bad || r.Entries != nil
			r.Entries = make([]deleteEntry, 0, maxBatch)
			in.array(func() {
				var e deleteEntry
				in.object(func(name []byte) {
					switch string(name) {
					case "Id":
						e.ID = in.text()
					case "ReceiptHandle":
						handle := in.text()
						e.ReceiptHandle = &handle
					default:
						in.bad = true
					}
				})
				r.Entries = append(r.Entries, e)
			})
		default:
			in.bad = true
		}
	})
	return in.done()
}

func (r *receiveMessage) readFast(in *jsonReader) bool {
	in.object(func(name []byte) {
		switch string(name) {
		case "QueueUrl":
			r.QueueURL = in.text()
		case "MaxNumberOfMessages":
			r.MaxNumberOfMessages = in.number()
		case "VisibilityTimeout":
			r.VisibilityTimeout = in.number()
		case "WaitTimeSeconds":
			r.WaitTimeSeconds = in.number()
		case "MessageSystemAttributeNames":
			r.MessageSystemAttributeNames = in.texts()
		case "MessageAttributeNames":
			r.MessageAttributeNames = in.texts()
		case "AttributeNames":
			r.AttributeNames = in.texts()
		case "ReceiveRequestAttemptId":
			r.ReceiveRequestAttemptID = in.text()
		default:
			in.bad = true
		}
	})
	return in.done()
}
