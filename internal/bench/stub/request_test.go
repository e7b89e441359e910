package stub

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, wire, want string }{
		{"a call", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n\r\n{}", "/ ReceiveMessage {}"},
		{"header names in any case", "POST / HTTP/1.1\r\ncontent-LENGTH:3\r\nx-amz-target:AmazonSQS.X\r\n\r\nabc", "/ X abc"},
		{"no body", "GET /stub?a=b HTTP/1.1\r\n\r\n", "/stub?a=b  "},
		{"another protocol", "GET / HTTP/1.0\r\n\r\n", "error"},
		{"a header without a colon", "GET / HTTP/1.1\r\nnonsense\r\n\r\n", "error"},
		{"a negative length", "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "error"},
		{"too long", "GET / HTTP/1.1\r\nContent-Length: 4194305\r\n\r\n" + strings.Repeat("x", 4194305), "error"},
		{"chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "error"},
		{"cut in the body", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var q request
			got := "error"
			if err := q.read(bufio.NewReader(strings.NewReader(c.wire))); err == nil {
				got = fmt.Sprintf("%s %s %s", q.path, q.target, q.body)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzRequest holds the parser against net/http's: what it takes, that takes too,
// with the same body.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n\r\n{}"))
	f.Add([]byte("GET /stub?latency=0s&budget=1 HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var q request
		if q.read(bufio.NewReader(bytes.NewReader(wire))) != nil {
			return
		}
		s := NewServer("http://127.0.0.1:1")
		rep := s.answer(nil, &q)
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(rep.append(nil, 1))), nil)
		if err != nil {
			t.Fatalf("the reply is no HTTP: %v", err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || !bytes.Equal(body, rep.body) {
			t.Fatalf("the reply's body reads %q, %v, want %q", body, err, rep.body)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return // net/http is stricter about names and paths
		}
		sent, err := io.ReadAll(r.Body)
		if err == nil && r.ProtoAtLeast(1, 1) && !bytes.Equal(sent, q.body) {
			t.Fatalf("body %q, net/http reads %q", q.body, sent)
		}
	})
}

func FuzzSuccessful(f *testing.F) {
	f.Add([]byte(`{"Entries":[{"Id":"0","ReceiptHandle":"h"},{"Id":"1","ReceiptHandle":"h"}],"QueueUrl":"u"}`), "MaxNumberOfMessages", 3)
	f.Fuzz(func(t *testing.T, in []byte, name string, otherwise int) {
		_, n := appendSuccessful(nil, in)
		if want := bytes.Count(in, []byte(`"Id":"`)); n > want {
			t.Fatalf("%d entries, at most %d possible", n, want)
		}
		intField(in, name, otherwise)
	})
}
