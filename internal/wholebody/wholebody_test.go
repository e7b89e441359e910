package wholebody

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// slowWriter is a connection on which a write that ends a request returns only
// when the request's body has been closed: the order of events when a reply
// overtakes the end of the write.
type slowWriter struct {
	net.Conn
	end    []byte
	closed <-chan struct{}
	writes *int
}

func (c slowWriter) Write(p []byte) (int, error) {
	*c.writes++
	n, err := c.Conn.Write(p)
	if bytes.HasSuffix(p, c.end) {
		<-c.closed
	}
	return n, err
}

// overtake sends one request with smithy's body over a connection on which the
// reply overtakes the write, through wrap, and returns the reply's body, the number
// of writes the request took and the error of reading the body.
func overtake(t *testing.T, wrap func(Doer) Doer) (reply []byte, writes int, err error) {
	t.Helper()
	payload := []byte(`{"QueueUrl":"http://127.0.0.1/1/q"}`)
	closed := make(chan struct{})
	goOn := make(chan struct{})
	client, server := net.Pipe()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return slowWriter{Conn: client, end: payload, closed: closed, writes: &writes}, nil
	}}
	defer tr.CloseIdleConnections()
	defer server.Close()
	go func() {
		r, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		fmt.Fprint(server, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
		<-goOn
		fmt.Fprint(server, "rest")
	}()

	req := &smithyhttp.Request{Request: &http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: "stub"}, Header: http.Header{}}}
	if req, err = req.SetStream(bytes.NewReader(payload)); err != nil {
		t.Fatal(err)
	}
	built := req.Build(t.Context())
	res, err := wrap(&http.Client{Transport: tr}).Do(built)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	built.Body.Close() // as smithy's ClientHandler does here
	close(closed)
	synctest.Wait()
	close(goOn)
	reply, err = io.ReadAll(res.Body)
	return reply, writes, err
}

func TestAReplyOvertakesTheWrite(t *testing.T) {
	t.Parallel()
	t.Run("without the wrapper the reply is lost and the request takes two writes", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			// Where this fails the SDK is cured and the package can go.
			reply, writes, err := overtake(t, func(d Doer) Doer { return d })
			if err == nil {
				t.Errorf("read %q, want an error", reply)
			}
			if writes != 2 {
				t.Errorf("%d writes, want 2", writes)
			}
		})
	})
	t.Run("with the wrapper it is read and the request takes one write", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			reply, writes, err := overtake(t, func(d Doer) Doer { return Client{Next: d} })
			if err != nil || string(reply) != "halfrest" {
				t.Errorf("read %q, %v, want halfrest", reply, err)
			}
			if writes != 1 {
				t.Errorf("%d writes, want 1", writes)
			}
		})
	})
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestDo(t *testing.T) {
	t.Parallel()
	next := errors.New("next was called")
	t.Run("a request without a body passes as it is", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://stub/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Client{Next: doerFunc(func(got *http.Request) (*http.Response, error) {
			if got.Body != nil {
				t.Errorf("body %v, want none", got.Body)
			}
			return nil, next
		})}.Do(r)
		if !errors.Is(err, next) {
			t.Errorf("error %v, want that of the next client", err)
		}
	})
	t.Run("a body of unknown length passes as it is", func(t *testing.T) {
		t.Parallel()
		body := io.NopCloser(io.MultiReader(strings.NewReader("a")))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://stub/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		_, err = Client{Next: doerFunc(func(got *http.Request) (*http.Response, error) {
			if got.Body != body {
				t.Error("the body was replaced")
			}
			return nil, next
		})}.Do(r)
		if !errors.Is(err, next) {
			t.Errorf("error %v, want that of the next client", err)
		}
	})
	t.Run("a body shorter than its length is an error", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://stub/", strings.NewReader("short"))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 10
		_, err = Client{Next: doerFunc(func(*http.Request) (*http.Response, error) { return nil, next })}.Do(r)
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "10 bytes") {
			t.Errorf("error %v, want one that names the 10 bytes", err)
		}
	})
}
