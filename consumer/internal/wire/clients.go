package wire

import (
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/internal/wholebody"
)

// optioned is a client of the SDK that another can be made of.
type optioned interface{ Options() sqs.Options }

// About tells a client's region, and after how long its HTTP client gives a request
// up; the zero values where that is not known.
func About(client API) (region string, timeout time.Duration) {
	given, ok := client.(optioned)
	if !ok {
		return "", 0
	}
	o := given.Options()
	if h, ok := o.HTTPClient.(*http.Client); ok && h != nil {
		timeout = h.Timeout
	}
	return o.Region, timeout
}

// Derive makes a client of the user's that keeps as many as most connections, one for each
// call that can be in flight, and does not retry: the runtime has loops of its own
// for that, each with its own idea of how long to go on, and a retry budget that
// all calls share would let an outage of one kind starve the others. few is called
// where the user brought an HTTP client that keeps fewer connections. A client that
// no other can be made of is returned as it is. done closes the connections that the
// client made has of its own, which are none where the user brought an HTTP client.
func Derive(client API, most int, few func()) (made API, done func()) {
	own := &conns{}
	given, ok := client.(optioned)
	if !ok {
		return client, own.close
	}
	return sqs.New(given.Options(), func(o *sqs.Options) {
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 0
		switch h := o.HTTPClient.(type) {
		case *awshttp.BuildableClient:
			o.HTTPClient = h.WithTransportOptions(func(t *http.Transport) {
				t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, most)
				t.MaxIdleConns = max(t.MaxIdleConns, most)
				own.watch(t)
			})
		case *http.Client:
			if t, ok := h.Transport.(*http.Transport); ok && t.MaxIdleConnsPerHost < most {
				few()
			}
		case wholebody.Client:
			return
		}
		o.HTTPClient = wholebody.Client{Next: o.HTTPClient}
	}), own.close
}
