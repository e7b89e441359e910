package sqsserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"strings"
	"time"
)

// targetPrefix begins the X-Amz-Target header of every SQS request.
const targetPrefix = "AmazonSQS."

// request is the wire form of an operation's input, and the operation.
type request interface {
	// target is the QueueUrl or QueueName of the request, "" without one.
	target() string
	// entries is how many messages the request is about: a batch's size, else 1.
	entries() int
	// serve does the work and writes the result's members.
	serve(s *Server, c *call, w *jsonWriter) error
}

// operations is every action this server knows.
var operations = map[string]func() request{
	"CreateQueue":                  func() request { return new(createQueue) },
	"GetQueueUrl":                  func() request { return new(getQueueURL) },
	"ListQueues":                   func() request { return new(listQueues) },
	"DeleteQueue":                  func() request { return new(deleteQueue) },
	"PurgeQueue":                   func() request { return new(purgeQueue) },
	"GetQueueAttributes":           func() request { return new(getQueueAttributes) },
	"SetQueueAttributes":           func() request { return new(setQueueAttributes) },
	"SendMessage":                  func() request { return new(sendMessage) },
	"SendMessageBatch":             func() request { return new(sendMessageBatch) },
	"ReceiveMessage":               func() request { return new(receiveMessage) },
	"DeleteMessage":                func() request { return new(deleteMessage) },
	"DeleteMessageBatch":           func() request { return new(deleteMessageBatch) },
	"ChangeMessageVisibility":      func() request { return new(changeVisibility) },
	"ChangeMessageVisibilityBatch": func() request { return new(changeVisibilityBatch) },
	"TagQueue":                     func() request { return new(tagQueue) },
	"UntagQueue":                   func() request { return new(untagQueue) },
	"ListQueueTags":                func() request { return new(listQueueTags) },
	"AddPermission":                func() request { return new(addPermission) },
	"RemovePermission":             func() request { return new(removePermission) },
	"ListDeadLetterSourceQueues":   func() request { return new(listDeadLetterSourceQueues) },
	"StartMessageMoveTask":         func() request { return new(startMessageMoveTask) },
	"ListMessageMoveTasks":         func() request { return new(listMessageMoveTasks) },
	"CancelMessageMoveTask":        func() request { return new(cancelMessageMoveTask) },
}

// Knows tells whether SQS has an action of that name.
func Knows(action string) bool { return operations[action] != nil }

// smallReply is room for most replies that carry no messages.
const smallReply = 256

// call is one request on its way.
type call struct {
	ctx    context.Context
	id     identity
	action string
	base   string // scheme and host the caller used; queue URLs begin with it
	name   string // the queue's name, for faults and the log
	record *Call
}

// open is the beginning of every operation on an existing queue: find it, ask
// for permission, do what has become due. The caller holds the lock.
func (s *Server) open(c *call, url string, now time.Time) (*queue, error) {
	q, err := s.locate(c.id, url)
	if err != nil {
		return nil, err
	}
	if err := s.allow(c, q); err != nil {
		return nil, err
	}
	q.advance(now)
	return q, nil
}

// incoming is a request as both ways in hand it over.
type incoming struct {
	target        string // X-Amz-Target
	contentType   string
	authorization string
	base          string
	body          []byte
}

// reply is what goes back. A broken one is a connection that ends without an
// answer.
type reply struct {
	status     int
	queryError string
	body       []byte
	broken     error
}

// do serves one request: faults that strike before it, the operation, faults
// that strike after.
func (s *Server) do(ctx context.Context, in incoming) reply {
	c := &call{ctx: ctx, id: s.identify(in.authorization), base: in.base}
	r, err := decode(in, c)
	if err != nil {
		return s.finish(c, nil, err)
	}
	c.name = s.nameOf(c.id, r.target())
	c.record = s.log.begin(c, r)

	strike := s.faults.strike(c.action, c.name)
	if err := strike.before(ctx); err != nil {
		return s.finish(c, nil, err)
	}
	w := &jsonWriter{b: make([]byte, 0, smallReply)}
	w.open('{')
	if err = r.serve(s, c, w); err == nil {
		w.close('}')
	}
	if lost := strike.after(ctx); lost != nil {
		return s.finish(c, nil, lost)
	}
	return s.finish(c, w, err)
}

// decode finds the operation and reads its input.
func decode(in incoming, c *call) (request, error) {
	if err := checkContentType(in.contentType); err != nil {
		return nil, err
	}
	action, ok := strings.CutPrefix(in.target, targetPrefix)
	if !ok {
		return nil, errUnknownAction.with("The action or operation requested is invalid. Verify that the action is typed correctly.")
	}
	c.action = action
	begin := operations[action]
	if begin == nil {
		return nil, errUnknownAction.with("The action %s is not valid for this endpoint.", action)
	}
	r := begin()
	if f, ok := r.(fastRequest); ok {
		if f.readFast(&jsonReader{b: in.body}) {
			return r, nil
		}
		r = begin() // what was read so far does not count
	}
	if body := bytes.TrimSpace(in.body); len(body) > 0 {
		if err := json.Unmarshal(body, r); err != nil {
			return nil, errSerialization.with("The request's JSON cannot be read: %v", err)
		}
	}
	return r, nil
}

// checkContentType lets JSON pass, and requests that do not say what they are.
func checkContentType(given string) *Error {
	if given == "" || given == contentType {
		return nil
	}
	media, _, err := mime.ParseMediaType(given)
	switch {
	case err == nil && (media == contentType || media == "application/json" || media == "application/x-amz-json-1.1"):
		return nil
	case media == "application/x-www-form-urlencoded":
		return errContentType.with("The query protocol is not spoken here: SDKs since 2024 send %s.", contentType)
	}
	return errContentType.with("The content type %.100q is not %s.", given, contentType)
}

// finish turns a result or an error into the reply and notes it in the log.
func (s *Server) finish(c *call, w *jsonWriter, err error) reply {
	if err == nil {
		s.log.end(c.record, "")
		return reply{status: 200, body: w.b}
	}
	var refused *Error
	if !errors.As(err, &refused) {
		s.log.end(c.record, err.Error())
		return reply{broken: err}
	}
	s.log.end(c.record, refused.Code)
	e := &jsonWriter{}
	e.open('{')
	e.key("__type")
	e.value(refused.typeName())
	e.key("message")
	e.value(refused.Message)
	e.close('}')
	return reply{status: refused.Status, queryError: refused.Code + ";" + refused.fault(), body: e.b}
}

// readBody reads at most maxRequest bytes. length is how long the body says it is,
// or below 0.
func readBody(r io.Reader, length int64) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	if length > maxRequest {
		return nil, errBodyTooLarge.with("The request is longer than %d bytes.", maxRequest)
	}
	var b bytes.Buffer
	// Room for what is announced, and what ReadFrom wants to find the end; a
	// length that is a lie is believed up to a point.
	b.Grow(int(min(max(length, 0), maxMessageSize)) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(r, maxRequest+1))
	if err != nil {
		return nil, err
	}
	if n > maxRequest {
		return nil, errBodyTooLarge.with("The request is longer than %d bytes.", maxRequest)
	}
	return b.Bytes(), nil
}
