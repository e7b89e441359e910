package snsserver

import (
	"bytes"
	"io"
	"net/http"
)

// Transport returns a RoundTripper that answers requests from this server
// without a network, in the caller's goroutine. It honours the request's
// context: a call whose context ends returns at once with the context's error.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in, err := read(r)
	if r.Body != nil {
		_ = r.Body.Close() // a RoundTripper closes it
	}
	if err != nil && !isRefusal(err) {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	out := t.server.answer(r, in, err)
	if out.broken != nil {
		return nil, out.broken
	}
	res := &http.Response{
		Status:        http.StatusText(out.status),
		StatusCode:    out.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header, 4),
		Body:          io.NopCloser(bytes.NewReader(out.body)),
		ContentLength: int64(len(out.body)),
		Request:       r,
	}
	out.writeHeader(res.Header)
	return res, nil
}
