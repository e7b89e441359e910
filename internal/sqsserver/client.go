package sqsserver

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// Transport returns a RoundTripper that answers requests from this server
// without a network, in the caller's goroutine. It honours the request's
// context: a call whose context ends returns at once with the context's error.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	var body []byte
	if r.Body != nil {
		b, err := readBody(r.Body, r.ContentLength)
		_ = r.Body.Close() // a RoundTripper closes it; it was read in full
		var refused *Error
		if errors.As(err, &refused) {
			return t.response(r, t.server.finish(&call{}, nil, err)), nil
		}
		if err != nil {
			return nil, err
		}
		body = b
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := t.server.do(ctx, incoming{
		target:        r.Header.Get("X-Amz-Target"),
		contentType:   r.Header.Get("Content-Type"),
		authorization: r.Header.Get("Authorization"),
		base:          r.URL.Scheme + "://" + r.URL.Host,
		body:          body,
	})
	if out.broken != nil {
		return nil, out.broken
	}
	return t.response(r, out), nil
}

func (t transport) response(r *http.Request, out reply) *http.Response {
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
	t.server.header(res.Header, out)
	return res
}
