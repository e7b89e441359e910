package producer_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestCredentialsEndpoint is on the SDK's provider for the endpoints of ECS and EKS Pod
// Identity, by the real clock: its connections are of the kernel.
func TestCredentialsEndpoint(t *testing.T) {
	t.Parallel()
	const outage = 2 * time.Second
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{"code":"Refused","message":"by the test"}`))
		}
	}
	for name, tt := range map[string]struct {
		out  http.HandlerFunc
		last bool // what it says is for ever
	}{
		"that throttles is waited for":          {status(http.StatusTooManyRequests), false},
		"that is unavailable is waited for":     {status(http.StatusServiceUnavailable), false},
		"that drops connections is waited for":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		"that speaks in riddles is waited for":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, false},
		"that denies the role is told at once":  {status(http.StatusForbidden), true},
		"that knows no role is told of at once": {status(http.StatusNotFound), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			var refused atomic.Int64
			endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if time.Since(began) < outage {
					refused.Add(1)
					tt.out(w, r)
					return
				}
				_, _ = w.Write([]byte(`{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":"2100-01-01T00:00:00Z"}`))
			}))
			defer endpoint.Close()
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			p, err := producer.New(srv.SQS(func(o *sqs.Options) {
				o.Credentials = aws.NewCredentialsCache(endpointcreds.New(endpoint.URL))
			}), q.URL, producer.Config{MaxMessageBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, p)
			err = p.Send(t.Context(), producer.Message{Body: "x"})
			if tt.last {
				var told *producer.ClientError
				if !errors.As(err, &told) || errors.Is(err, producer.ErrUnconfirmed) || !strings.Contains(err.Error(), "Refused") {
					t.Errorf("%v, want a ClientError that tells why, and no doubt", err)
				}
				return
			}
			if err != nil || refused.Load() == 0 || len(bodies(q)) != 1 {
				t.Errorf("after %d refusals %d messages, %v", refused.Load(), len(bodies(q)), err)
			}
		})
	}
}
