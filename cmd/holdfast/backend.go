package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/snsserver"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// bodyTimeout is how long a request's body may take.
const bodyTimeout = 30 * time.Second

// backend is SQS and SNS behind one port.
type backend struct {
	account, region, url string

	state atomic.Pointer[state]
}

// state is what a reset replaces.
type state struct {
	sqs *sqsserver.Server
	sns *snsserver.Server
}

func newBackend(account, region, url string) *backend {
	b := &backend{account: account, region: region, url: url}
	b.state.Store(b.empty())
	return b
}

// empty is a state that remembers what is there, and nothing for tests: the server
// may run for long.
func (b *backend) empty() *state {
	sqs := sqsserver.New(sqsserver.Config{Account: b.account, Region: b.region, LogLimit: -1, NoHistory: true, BodyTimeout: bodyTimeout})
	sns := snsserver.New(snsserver.Config{Account: b.account, Region: b.region, LogLimit: -1, Endpoint: b.url, BodyTimeout: bodyTimeout}, queues{sqs})
	return &state{sqs, sns}
}

// reset takes everything away. Polls that wait are told that their queue is gone.
func (b *backend) reset() {
	b.state.Swap(b.empty()).sqs.Clear()
}

// ServeHTTP tells requests for SNS, which are forms, from those for SQS, which
// are JSON.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /health", "GET /_localstack/health", "HEAD /health", "HEAD /_localstack/health":
		answer(w, `{"services": {"sns": "running", "sqs": "running"}, "edition": "holdfast"}`)
		return
	case "POST /_holdfast/reset":
		b.reset()
		answer(w, `{"status": "reset"}`)
		return
	}
	now := b.state.Load()
	if snsserver.Speaks(r) {
		now.sns.ServeHTTP(w, r)
		return
	}
	now.sqs.ServeHTTP(w, r)
}

func answer(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, text)
}

// queues is SQS as SNS sees it.
type queues struct{ server *sqsserver.Server }

func (q queues) Policy(queueARN string) (string, bool) { return q.server.Policy(queueARN) }

func (q queues) Send(queueARN string, m snsserver.QueueMessage) error {
	out := sqsserver.Outgoing{Body: m.Body, Group: m.Group, Dedup: m.Dedup, TraceHeader: m.TraceHeader, Sender: m.Sender}
	if len(m.Attributes) > 0 {
		out.Attributes = make(map[string]sqsserver.Attribute, len(m.Attributes))
		for name, a := range m.Attributes {
			out.Attributes[name] = sqsserver.Attribute(a)
		}
	}
	_, err := q.server.Send(queueARN, out)
	var refused *sqsserver.Error
	if errors.As(err, &refused) && !refused.Receiver {
		return &snsserver.RefusedError{Code: refused.Code, Message: refused.Message}
	}
	return err
}
