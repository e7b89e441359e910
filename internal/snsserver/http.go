package snsserver

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxRequest bounds a request: a batch of 1 MiB whose every byte is written as
// %00, and room for the names.
const maxRequest = 4 << 20

// formType is the content type of the query protocol's requests.
const formType = "application/x-www-form-urlencoded"

// ServeHTTP serves the query protocol on a port, and the certificate that
// signatures in envelopes are checked with.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// It fails where w has no connection, and so nothing to wait for. net/http lifts
	// the deadline where the body ends.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout))
	in, err := read(r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errBodyTooSlow.with("The request's body did not come within %v.", s.cfg.BodyTimeout)
	}
	if err != nil && !isRefusal(err) {
		panic(http.ErrAbortHandler) // the client went away in mid-request
	}
	if isRefusal(err) {
		w.Header().Set("Connection", "close") // there may be more of it to come
	}
	out := s.answer(r, in, err)
	if out.broken != nil {
		panic(http.ErrAbortHandler) // closes the connection without a reply
	}
	out.writeHeader(w.Header())
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a client that has gone needs no reply
}

// Speaks tells whether a request is for SNS, for those who serve SQS on the same
// port: it is signed for SNS or, unsigned, is in the query protocol or asks for
// the signing certificate.
func Speaks(r *http.Request) bool {
	if scope, ok := credential(r.Header.Get("Authorization")); ok {
		return strings.Contains(scope, "/sns/")
	}
	if r.Method == http.MethodGet {
		return r.URL.Query().Has("Action") || r.URL.Path == certificatePath
	}
	return r.Header.Get("X-Amz-Target") == "" && isForm(r.Header.Get("Content-Type"))
}

func isForm(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == formType
}

// incoming is a request as both ways in hand it over.
type incoming struct {
	authorization string
	trace         string
	contentType   string
	query         string
}

// read takes a request in. An error that is an *Error is the reply.
func read(r *http.Request) (incoming, error) {
	in := incoming{
		authorization: r.Header.Get("Authorization"),
		trace:         r.Header.Get("X-Amzn-Trace-Id"),
		contentType:   r.Header.Get("Content-Type"),
		query:         r.URL.RawQuery,
	}
	switch r.Method {
	case http.MethodGet:
		in.contentType = formType
	case http.MethodPost:
		body, err := readBody(r.Body)
		if err != nil {
			return in, err
		}
		in.query = string(body)
	default:
		return in, errInvalidAction.with("SNS requests are POSTs or GETs, not %.20s", r.Method)
	}
	return in, nil
}

// readBody reads at most maxRequest bytes.
func readBody(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r, maxRequest+1))
	if err != nil {
		return nil, err
	}
	if n > maxRequest {
		return nil, errBodyTooLarge.with("The request is longer than %d bytes.", maxRequest)
	}
	return b.Bytes(), nil
}

func isRefusal(err error) bool {
	var refused *Error
	return errors.As(err, &refused)
}

// answer serves a request that was read, or could not be.
func (s *Server) answer(r *http.Request, in incoming, err error) reply {
	switch {
	case err != nil:
		return s.finish(&call{}, nil, err)
	case r.Method == http.MethodGet && r.URL.Path == certificatePath:
		return reply{status: http.StatusOK, contentType: "application/x-pem-file", body: certificate()}
	}
	return s.do(r.Context(), in)
}

// reply is what goes back. A broken one is a connection that ends without an
// answer.
type reply struct {
	status      int
	contentType string
	requestID   string
	body        []byte
	broken      error
}

func (r *reply) writeHeader(h http.Header) {
	h.Set("Content-Type", r.contentType)
	h.Set("Content-Length", strconv.Itoa(len(r.body)))
	if r.requestID != "" {
		h.Set("X-Amzn-Requestid", r.requestID)
	}
}
