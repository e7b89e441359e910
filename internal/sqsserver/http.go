package sqsserver

import (
	"errors"
	"net/http"
	"strconv"
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
	body, err := readBody(r.Body)
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

// header writes a reply's header fields.
func (s *Server) header(h http.Header, out reply) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(out.body)))
	h.Set("X-Amzn-Requestid", s.log.requestID())
	if out.queryError != "" {
		h.Set("X-Amzn-Query-Error", out.queryError)
	}
}
