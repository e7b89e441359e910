// Package wholebody keeps connections alive that the AWS SDK would lose to a
// server that answers in well under a millisecond, and saves a system call per
// request.
//
// smithy-go (seen with 1.28.8) wraps a request's body and closes the wrapper as
// soon as the reply's headers are there. Closed, its WriteTo returns io.EOF as an
// error. net/http, where its write loop has just sent the body and looks whether
// there is more of it, takes that for a failed write and closes the connection,
// while the reply is being read from it: the call ends with "use of closed network
// connection", and a ReceiveMessage that ends so leaves its messages invisible
// until their visibility timeout is over. A local emulator is fast enough for
// that; SQS itself hardly is.
//
// net/http also cannot know that the wrapper is memory, so it sends the headers
// in a write of their own, before the body.
package wholebody

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Doer is what the SDK takes as its HTTP client.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Client hands each request to Next with a body that is plain memory. Requests
// without a body, or with one of unknown length, pass as they are. It is safe for
// concurrent use where Next is; the zero value does not work.
type Client struct{ Next Doer }

// Do sends the request with its body replaced. It returns Next's reply and error,
// or the error of reading the body.
func (c Client) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength <= 0 {
		return c.Next.Do(r)
	}
	// Not from a pool: net/http may still read it after Do has returned.
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, fmt.Errorf("read the request's body of %d bytes: %w", r.ContentLength, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return c.Next.Do(r)
}
