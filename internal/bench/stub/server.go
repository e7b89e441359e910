package stub

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// controlPath is where [Process] reads and sets the stub, beside the SQS calls
// at "/".
const controlPath = "/stub"

// maxRequest bounds a request's body: ten entries of the longest handles fit
// many times over.
const maxRequest = 4 << 20

// Server is the stub. Make it with [NewServer]; it is safe for concurrent use.
type Server struct {
	url     string // "http://host:port" of the listener
	latency atomic.Int64
	budget  atomic.Int64
	serial  atomic.Uint64
	counts  counters
}

// NewServer returns a stub whose queue URLs start with url, the address it is
// reached at. Its budget is 0 (every receive comes back empty) and its latency
// is 0 until they are set.
func NewServer(url string) *Server { return &Server{url: url} }

// Serve accepts connections on l until l is closed, and returns the error of
// the accept that failed.
func (s *Server) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		s.counts.connections.Add(1)
		go s.serve(c)
	}
}

// serve answers the requests of one connection in turn.
func (s *Server) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 32<<10)
	var (
		req       request
		body, out []byte // reused, so that a request allocates nothing
	)
	for {
		if err := req.read(r); err != nil {
			return
		}
		rep := s.answer(body[:0], &req)
		if rep.status == 200 {
			body = rep.body
		}
		out = rep.append(out[:0], s.serial.Add(1))
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// answer makes the reply, its body appended to out, after the time the request
// takes.
func (s *Server) answer(out []byte, req *request) reply {
	if bytes.HasPrefix(req.path, []byte(controlPath)) {
		return s.control(string(req.path))
	}
	if d := s.latency.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	return s.call(out, req)
}

// request is one HTTP request. Its slices are overwritten by the next read.
type request struct {
	path   []byte
	target []byte // the action, without the service's prefix
	body   []byte
}

var (
	headerLength   = []byte("content-length")
	headerTarget   = []byte("x-amz-target")
	headerEncoding = []byte("transfer-encoding")
	errNoLength    = errors.New("stub: a request without Content-Length")
)

// read parses the next request. It knows as much HTTP/1.1 as net/http's client
// uses for a body of known length; anything else is an error, which ends the
// connection.
func (q *request) read(r *bufio.Reader) error {
	q.path, q.target, q.body = q.path[:0], q.target[:0], q.body[:0]
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	fields := bytes.Fields(line)
	if len(fields) != 3 || !bytes.Equal(fields[2], []byte("HTTP/1.1")) {
		return fmt.Errorf("stub: request line %q is not HTTP/1.1", line)
	}
	q.path = append(q.path, fields[1]...)
	length := 0
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return fmt.Errorf("stub: header line %q has no colon", line)
		}
		switch {
		case len(name) == len(headerLength) && bytes.EqualFold(name, headerLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 || length > maxRequest {
				return fmt.Errorf("stub: Content-Length %q is not within 0 and %d", value, maxRequest)
			}
		case len(name) == len(headerTarget) && bytes.EqualFold(name, headerTarget):
			value = bytes.TrimSpace(value)
			q.target = append(q.target, value[bytes.LastIndexByte(value, '.')+1:]...)
		case len(name) == len(headerEncoding) && bytes.EqualFold(name, headerEncoding):
			return errNoLength
		}
	}
	if cap(q.body) < length {
		q.body = make([]byte, length)
	}
	q.body = q.body[:length]
	_, err = io.ReadFull(r, q.body)
	return err
}

// reply is one HTTP reply.
type reply struct {
	status     int
	queryError string // the legacy code and fault of an SQS error
	body       []byte
}

// append appends the reply as it goes on the wire; serial makes its request id.
func (p reply) append(out []byte, serial uint64) []byte {
	if p.status == 200 {
		out = append(out, "HTTP/1.1 200 OK\r\n"...)
	} else {
		out = append(out, "HTTP/1.1 400 Bad Request\r\n"...)
	}
	if p.queryError != "" {
		out = append(out, "x-amzn-query-error: "...)
		out = append(out, p.queryError...)
		out = append(out, "\r\n"...)
	}
	out = append(out, "x-amzn-RequestId: "...)
	out = appendUUID(out, serial)
	out = append(out, "\r\nDate: "...)
	out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
	out = append(out, "\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(p.body)), 10)
	out = append(out, "\r\n\r\n"...)
	return append(out, p.body...)
}

const hexDigits = "0123456789abcdef"

// appendUUID appends n in the shape of a UUID.
func appendUUID(out []byte, n uint64) []byte {
	out = append(out, "5fea7756-0ea4-451a-"...)
	for shift := 60; shift >= 0; shift -= 4 {
		if shift == 44 {
			out = append(out, '-')
		}
		out = append(out, hexDigits[n>>shift&15])
	}
	return out
}
