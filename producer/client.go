package producer

import (
	"net/http"

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
		o.HTTPClient = p.connections(o.HTTPClient)
	})
}

func (p *Producer) snsClient(client SNSAPI) SNSAPI {
	o, ok := client.(snsOptioned)
	if !ok {
		return client
	}
	return sns.New(o.Options(), func(o *sns.Options) {
		o.Retryer, o.RetryMaxAttempts = aws.NopRetryer{}, 0
		o.HTTPClient = p.connections(o.HTTPClient)
	})
}

// connections is the HTTP client with as many idle connections as calls.
func (p *Producer) connections(client wholebody.Doer) wholebody.Doer {
	conns := p.cfg.Concurrency + 2
	switch h := client.(type) {
	case *awshttp.BuildableClient:
		client = h.WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, conns)
			t.MaxIdleConns = max(t.MaxIdleConns, conns)
		})
	case *http.Client:
		if t, ok := h.Transport.(*http.Transport); ok && t.MaxIdleConnsPerHost < conns {
			p.cfg.Logger.Info("the HTTP client keeps fewer idle connections than requests under way: raise MaxIdleConnsPerHost", "want", conns)
		}
	case wholebody.Client:
		return client
	}
	return wholebody.Client{Next: client}
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
