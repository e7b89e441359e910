package producer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestUnsent(t *testing.T) {
	t.Parallel()
	t.Run("what never reached SQS is tried again, and not in doubt", unreached)
	t.Run("what a connection was made for is in doubt", reached)
	t.Run("a client without credentials is told at once", noCredentials)
	t.Run("a client whose credentials go while the target is looked for is told at once", goneCredentials)
	t.Run("a client that cannot be used is told at once", unusable)
	t.Run("credentials that are not given just now are waited for", lateCredentials)
	t.Run("credentials that are never given leave no doubt", neverCredentials)
	t.Run("a message that cannot be encoded fails alone", notEncoded)
}

// through makes a client whose requests go through a RoundTripper.
func through(srv *sqstest.Server, r http.RoundTripper) *sqs.Client {
	return srv.SQS(func(o *sqs.Options) { o.HTTPClient = &http.Client{Transport: r} })
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func dialler(dial func() (net.Conn, error)) http.RoundTripper {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}
}

// registered is net/http's transport with another for the scheme, whose connections
// the first knows nothing of.
func registered(f roundTripper) http.RoundTripper {
	t := &http.Transport{}
	t.RegisterProtocol("http", f)
	return t
}

// without is the configuration that reads nothing of the queue. Its Timeout ends while
// the first try that takes as long as it may, 10 s after Linger, has ended.
var without = producer.Config{MaxMessageBytes: 1 << 20, Timeout: 10*time.Second + 15*time.Millisecond}

func unreached(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, tt := range map[string]struct {
			r     http.RoundTripper
			calls int64 // at least
		}{
			"connection refused": {roundTripper(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errTest}
			}), 3},
			"proxy refused": {roundTripper(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errTest}
			}), 3},
			"no such host": {roundTripper(func(*http.Request) (*http.Response, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "sqs.invalid"}
			}), 3},
			"no connection": {dialler(func() (net.Conn, error) { return nil, errTest }), 3},
			"no route": {dialler(func() (net.Conn, error) {
				time.Sleep(30 * time.Second) // net/http dials on where the request has ended
				return nil, errTest
			}), 1},
		} {
			srv := sqstest.New(t)
			p, err := producer.New(through(srv, tt.r), srv.Queue(t, "orders").URL, without)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, p)
			spent := took(func() { err = p.Send(t.Context(), producer.Message{Body: "x"}) })
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, producer.ErrUnconfirmed) || spent != without.Timeout {
				t.Errorf("%s: after %v %v; want tries until Config.Timeout, and no doubt", name, spent, err)
			}
			if n := p.Stats().Calls; n < tt.calls {
				t.Errorf("%s: %d calls, want %d", name, n, tt.calls)
			}
		}
		time.Sleep(time.Minute) // for the dials
	})
}

func reached(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		for name, r := range map[string]http.RoundTripper{
			"net/http's transport": dialler(func() (net.Conn, error) {
				near, far := net.Pipe()
				go func() {
					for _, err := far.Read(make([]byte, 4096)); err == nil; {
						_, err = far.Read(make([]byte, 4096))
					}
				}()
				return near, nil
			}),
			"a transport for the scheme": registered(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
			"any transport": roundTripper(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
			"a connection that breaks": roundTripper(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "read", Net: "tcp", Err: errTest}
			}),
		} {
			p, err := producer.New(through(srv, r), srv.Queue(t, "orders").URL, without)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, p)
			if err := p.Send(t.Context(), producer.Message{Body: "x"}); !errors.Is(err, producer.ErrUnconfirmed) {
				t.Errorf("%s: %v, want doubt", name, err)
			}
		}
	})
}

// giving makes a client whose credentials come from a function.
func giving(srv *sqstest.Server, f func() error) *sqs.Client {
	return srv.SQS(func(o *sqs.Options) {
		given := o.Credentials
		o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			if err := f(); err != nil {
				return aws.Credentials{}, err
			}
			return given.Retrieve(ctx)
		})
	})
}

// errNoRole is what EC2's metadata service says where the instance has no role.
var errNoRole = &smithy.OperationError{ServiceID: "ec2imds", OperationName: "GetMetadata", Err: &smithyhttp.ResponseError{
	Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusNotFound}}, Err: errTest,
}}

func noCredentials(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, why := range map[string]error{
			"empty":          &credentials.StaticCredentialsEmptyError{},
			"off in EC2":     &smithy.OperationError{ServiceID: "ec2imds", Err: errors.New("access disabled to EC2 IMDS via client option")},
			"no role in EC2": errNoRole,
			"none by way of": &smithy.OperationError{ServiceID: "STS", Err: errNoRole},
			"denied":         &smithy.OperationError{ServiceID: "STS", Err: &smithy.GenericAPIError{Code: "AccessDenied", Fault: smithy.FaultClient}},
		} {
			srv := sqstest.New(t)
			var missing atomic.Bool
			client := giving(srv, func() error {
				if missing.Load() {
					return why
				}
				return nil
			})
			for _, cfg := range []producer.Config{without, {}} { // it shows by a send, and by the search for the queue
				missing.Store(cfg.MaxMessageBytes == 0)
				p, err := producer.New(client, srv.Queue(t, "orders").URL, cfg)
				if err != nil {
					t.Fatal(err)
				}
				closeAtEnd(t, p)
				missing.Store(true)
				spent := took(func() { err = p.Send(t.Context(), producer.Message{Body: "x"}) })
				var told *producer.ClientError
				if !errors.As(err, &told) || !strings.Contains(err.Error(), "look at its credentials") || errors.Is(err, producer.ErrUnconfirmed) || spent > time.Second {
					t.Errorf("%s: after %v %v; want a ClientError at once, and no doubt", name, spent, err)
				}
			}
		}
	})
}

func goneCredentials(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		srv.Queue(t, "orders")
		asked := 0
		p, err := producer.New(giving(srv, func() error {
			if asked++; asked > 1 {
				return &credentials.StaticCredentialsEmptyError{}
			}
			return nil // for GetQueueUrl
		}), "orders", producer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, p)
		err = p.Send(t.Context(), producer.Message{Body: "x"})
		var told *producer.ClientError
		if !errors.As(err, &told) || told.Action != "sqs:GetQueueAttributes" || asked != 2 {
			t.Errorf("asked %d times, %v; want a ClientError at once", asked, err)
		}
	})
}

func lateCredentials(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, why := range map[string]error{
			"throttled":   &smithy.OperationError{ServiceID: "STS", Err: &smithy.GenericAPIError{Code: "Throttling", Fault: smithy.FaultClient}},
			"failing":     &smithy.OperationError{ServiceID: "STS", Err: &smithy.GenericAPIError{Code: "InternalFailure", Fault: smithy.FaultServer}},
			"unreachable": &smithy.OperationError{ServiceID: "SSO", Err: &net.OpError{Op: "dial", Net: "tcp", Err: errTest}},
			"not yet":     &smithy.OperationError{ServiceID: "STS", Err: &smithy.GenericAPIError{Code: "ExpiredTokenException", Fault: smithy.FaultClient}},
			"no network":  &smithy.OperationError{ServiceID: "ec2imds", Err: &net.OpError{Op: "dial", Net: "tcp", Err: errTest}},
			"no host":     &net.DNSError{Err: "no such host", Name: "sts.invalid", IsNotFound: true},
			"cut":         fmt.Errorf("from a provider of one's own: %w", io.ErrUnexpectedEOF),
			"unknown":     errTest,
		} {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders")
			tries := 0
			p, err := producer.New(giving(srv, func() error {
				if tries++; tries <= 3 {
					return why
				}
				return nil
			}), q.URL, without)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, p)
			if err := p.Send(t.Context(), producer.Message{Body: "x"}); err != nil || tries != 4 {
				t.Errorf("%s: %d tries, %v", name, tries, err)
			}
		}
	})
}

func neverCredentials(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		p, err := producer.New(giving(srv, func() error { return errTest }), srv.Queue(t, "orders").URL, without)
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, p)
		spent := took(func() { err = p.Send(t.Context(), producer.Message{Body: "x"}) })
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errTest) || errors.Is(err, producer.ErrUnconfirmed) || spent != without.Timeout {
			t.Errorf("after %v %v; want tries until Config.Timeout, their error, and no doubt", spent, err)
		}
	})
}

// signer signs nothing.
type signer struct{}

func (signer) SignHTTP(context.Context, aws.Credentials, *http.Request, string, string, string, time.Time, ...func(*v4.SignerOptions)) error {
	return errTest
}

func unusable(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, change := range map[string]func(*sqs.Options){
			"no endpoint":  func(o *sqs.Options) { o.Region, o.BaseEndpoint = "", nil },
			"no signature": func(o *sqs.Options) { o.HTTPSignerV4 = signer{} },
		} {
			srv := sqstest.New(t)
			p, err := producer.New(srv.SQS(change), srv.Queue(t, "orders").URL, without)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, p)
			spent := took(func() { err = p.Send(t.Context(), producer.Message{Body: "x"}) })
			var told *producer.ClientError
			if !errors.As(err, &told) || errors.Is(err, producer.ErrUnconfirmed) || spent > time.Second {
				t.Errorf("%s: after %v %v; want a ClientError at once, and no doubt", name, spent, err)
			}
		}
	})
}

func notEncoded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders")
		client := srv.SQS(func(o *sqs.Options) {
			o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
				return s.Serialize.Add(middleware.SerializeMiddlewareFunc("refuses", func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
					if batch, ok := in.Parameters.(*sqs.SendMessageBatchInput); ok {
						for _, e := range batch.Entries {
							if *e.MessageBody == "4" {
								return middleware.SerializeOutput{}, middleware.Metadata{}, &smithy.SerializationError{Err: errTest}
							}
						}
					}
					return next.HandleSerialize(ctx, in)
				}), middleware.Before)
			})
		})
		p, err := producer.New(client, q.URL, producer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		closeAtEnd(t, p)
		var results []producer.Result
		spent := took(func() { results, err = p.SendBatch(t.Context(), texts(10)) })
		var told *producer.ClientError
		if failed := (*producer.BatchError)(nil); !errors.As(err, &failed) || failed.Failed != 1 || !errors.As(results[4].Err, &told) || !errors.Is(err, errTest) || errors.Is(err, producer.ErrUnconfirmed) || spent > time.Second {
			t.Errorf("after %v %v; want one that fails at once", spent, err)
		}
		if got := bodies(q); len(got) != 9 || slices.Contains(got, "4") {
			t.Errorf("sent were %v", got)
		}
	})
}
