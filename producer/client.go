package producer

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/internal/wholebody"
)

// Clients of the SDK are replaced by ones made of them that keep a connection for
// each request that can be under way and do not retry: the producer knows which
// messages of a request to try again, and until when.

type sqsOptioned interface{ Options() sqs.Options }

type snsOptioned interface{ Options() sns.Options }

func (p *Producer) sqsClient(client SQSAPI) SQSAPI {
	o, ok := client.(sqsOptioned)
	if !ok {
		return client
	}
	return sqs.New(o.Options(), func(o *sqs.Options) {
		o.Retryer, o.RetryMaxAttempts = aws.NopRetryer{}, 0
		o.HTTPClient, p.notes = p.connections(o.HTTPClient), true
	})
}

func (p *Producer) snsClient(client SNSAPI) SNSAPI {
	o, ok := client.(snsOptioned)
	if !ok {
		return client
	}
	return sns.New(o.Options(), func(o *sns.Options) {
		o.Retryer, o.RetryMaxAttempts = aws.NopRetryer{}, 0
		o.HTTPClient, p.notes = p.connections(o.HTTPClient), true
	})
}

// connections is the HTTP client with as many idle connections as calls, which notes
// how far each request came.
func (p *Producer) connections(client wholebody.Doer) wholebody.Doer {
	conns := p.cfg.Concurrency + 2
	traces := false
	switch h := client.(type) {
	case *awshttp.BuildableClient:
		traces = true
		client = h.WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, conns)
			t.MaxIdleConns = max(t.MaxIdleConns, conns)
		})
	case *http.Client:
		var t *http.Transport
		if t, traces = h.Transport.(*http.Transport); traces && t.MaxIdleConnsPerHost < conns {
			p.cfg.Logger.Info("the HTTP client keeps fewer idle connections than requests under way: raise MaxIdleConnsPerHost", "want", conns)
		}
	case wholebody.Client:
		return noting{next: client}
	}
	return noting{next: wholebody.Client{Next: client}, traces: traces}
}

// progress is how far the request of a call came.
type progress struct {
	asked, // it was made, and handed to the HTTP client
	waits, // for a connection, and the client tells when it has one
	connected atomic.Bool // and may have been written to a connection
}

type progressKey struct{}

// noting writes down the progress of requests.
type noting struct {
	next   wholebody.Doer
	traces bool // next tells when it has a connection, as net/http's Transport mostly does
}

func (n noting) Do(r *http.Request) (*http.Response, error) {
	if p, ok := r.Context().Value(progressKey{}).(*progress); ok {
		p.asked.Store(true)
		if n.traces {
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
				GetConn: func(string) { p.waits.Store(true) },
				GotConn: func(httptrace.GotConnInfo) { p.connected.Store(true) },
			}))
		} else {
			p.connected.Store(true)
		}
	}
	return n.next.Do(r)
}

// caller makes one call of the client, as Producer.call does.
type caller func(ctx context.Context, f func(context.Context) error) error

// call makes one call of the client: what is noted is of one request. Where surely nothing was sent its error is an *unsentError.
func (p *Producer) call(ctx context.Context, f func(context.Context) error) error {
	if !p.notes {
		return f(ctx)
	}
	var came progress
	err := f(context.WithValue(ctx, progressKey{}, &came))
	switch {
	case err == nil:
		return nil
	case !came.asked.Load():
		return &unsentError{err: err, again: ctx.Err() != nil || passes(err)}
	case came.waits.Load() && !came.connected.Load(), undialled(err):
		return &unsentError{err: err, again: true}
	}
	return err
}

// region is that of the client, where it is known.
func region(client any) string {
	if isNil(client) {
		return ""
	}
	switch c := client.(type) {
	case sqsOptioned:
		return c.Options().Region
	case snsOptioned:
		return c.Options().Region
	}
	return ""
}
