package sqsserver

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"
)

// contentType is that of AWS JSON 1.0, in both directions.
const contentType = "application/x-amz-json-1.0"

// ServeHTTP serves the AWS JSON 1.0 protocol on a port.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "SQS requests are POSTs", http.StatusMethodNotAllowed)
		return
	}
	var out reply
	body, err := s.receiveBody(w, r)
	var refused *Error
	switch {
	case errors.As(err, &refused):
		w.Header().Set("Connection", "close")
		out = s.finish(&call{}, nil, err)
	case err != nil:
		panic(http.ErrAbortHandler) // the client went away in mid-request
	default:
		out = s.do(r.Context(), incoming{
			target:        r.Header.Get("X-Amz-Target"),
			contentType:   r.Header.Get("Content-Type"),
			authorization: r.Header.Get("Authorization"),
			base:          "http://" + r.Host,
			body:          body,
		})
	}
	if out.broken != nil {
		panic(http.ErrAbortHandler) // closes the connection without a reply
	}
	s.header(w.Header(), out)
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a client that has gone needs no reply
}

// receiveBody reads the body within Config.BodyTimeout. net/http lifts the deadline
// where the body ends: a long poll may take longer.
func (s *Server) receiveBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// It fails where w has no connection, and so nothing to wait for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout))
	body, err := readBody(r.Body, r.ContentLength)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, errBodyTooSlow.with("The request's body did not come within %v.", s.cfg.BodyTimeout)
	}
	return body, err
}

// header writes a reply's header fields.
func (s *Server) header(h http.Header, out reply) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(out.body)))
	h.Set("X-Amzn-Requestid", s.log.requestID())
	if out.queryError != "" {
		h.Set("X-Amzn-Query-Error", out.queryError)
	}
}
