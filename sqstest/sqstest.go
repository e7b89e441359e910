package sqstest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/internal/snsserver"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// Account and Region are where a server's queues live.
const (
	Account = sqsserver.DefaultAccount
	Region  = sqsserver.DefaultRegion
)

// endpoint is what in-process clients believe they dial. The domain .invalid
// never resolves (RFC 6761), so a request that goes astray goes nowhere.
const endpoint = "http://sqs." + Region + ".sqstest.invalid"

type config struct {
	sqs sqsserver.Config
	sns snsserver.Config
}

// Option changes a Server that New makes.
type Option func(*config)

// InFlightLimit sets how many messages of a queue may be in flight, and among how
// many of its oldest messages a FIFO queue looks for groups. 0 and the default:
// 120,000, as on AWS.
func InFlightLimit(n int) Option {
	return func(c *config) { c.sqs.InFlightLimit = n }
}

// NoCooldown lets a queue be purged twice, or a deleted queue's name be used
// again, without the 60 s that AWS demands.
func NoCooldown() Option {
	return func(c *config) { c.sqs.NoCooldown = true }
}

// PolicySpread has SNS see an access policy only so long after a queue was made or
// changed with it, as on AWS, where it takes up to 60 s. Default: at once.
func PolicySpread(d time.Duration) Option {
	return func(c *config) { c.sqs.PolicySpread = d }
}

// LogLimit sets how many calls Log keeps, and how many publications and
// deliveries a Topic tells of; -1 keeps none. Default: 100,000 of each.
func LogLimit(n int) Option {
	return func(c *config) { c.sqs.LogLimit, c.sns.LogLimit = n, n }
}

// NoHistory forgets messages when they leave their queue, for tests that send
// millions. Queue.Message, Receives, Deleted and Deletions then know nothing.
func NoHistory() Option {
	return func(c *config) { c.sqs.NoHistory = true }
}

// NoSignature writes a placeholder where SNS signs envelopes, for tests that
// publish so much that signing (below a millisecond each) shows.
func NoSignature() Option {
	return func(c *config) { c.sns.NoSignature = true }
}

// Server is an SQS and an SNS of its own. It is safe for concurrent use; make
// one with New.
type Server struct {
	inner *sqsserver.Server
	sns   *snsserver.Server
	tb    testing.TB
}

// New returns an empty server. If the test fails, the log gets a dump of all
// queues and topics when it ends.
func New(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	var cfg config
	for _, opt := range opts {
		opt(&cfg)
	}
	if cfg.sqs.InFlightLimit < 0 {
		tb.Fatalf("sqstest: InFlightLimit(%d) is below 1", cfg.sqs.InFlightLimit)
	}
	s := &Server{inner: sqsserver.New(cfg.sqs), tb: tb}
	s.sns = snsserver.New(cfg.sns, queues{s.inner})
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(s.Dump())
		}
	})
	return s
}

// SQS returns a new SDK client for this server: region us-east-1, account
// 000000000000, static credentials, no network. optFns change its options.
func (s *Server) SQS(optFns ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       Region,
		BaseEndpoint: aws.String(endpoint),
		HTTPClient:   s.HTTPClient(),
		Credentials:  credentials("SQSTEST"),
	}, optFns...)
}

// As makes a client that SQS makes the client of another access key. One of
// twelve digits is another account; see Server.Bind for what a key may do.
func As(accessKey string) func(*sqs.Options) {
	return func(o *sqs.Options) { o.Credentials = credentials(accessKey) }
}

func credentials(accessKey string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "secret", Source: "sqstest"}, nil
	})
}

// HTTPClient returns an HTTP client whose every request this server answers, in
// the caller's goroutine. It honours the request's context.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: transport{sqs: s.inner.Transport(), sns: s.sns.Transport()}}
}

// transport tells requests for SQS from those for SNS.
type transport struct{ sqs, sns http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if snsserver.Speaks(r) {
		return t.sns.RoundTrip(r)
	}
	return t.sqs.RoundTrip(r)
}

// Handler returns the server, SQS and SNS, as an http.Handler for a listener of
// one's own.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if snsserver.Speaks(r) {
			s.sns.ServeHTTP(w, r)
			return
		}
		s.inner.ServeHTTP(w, r)
	})
}

// Listen serves on a free port of 127.0.0.1 until the test ends and returns the
// URL. Not for synctest bubbles: a network is outside of them.
func (s *Server) Listen(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("sqstest: listen: %v", err)
	}
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	tb.Cleanup(func() {
		_ = srv.Close() // what it reports, Serve reports too
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			tb.Errorf("sqstest: serve: %v", err)
		}
	})
	return "http://" + l.Addr().String()
}

// At points a client that SQS makes at the URL of Listen:
//
//	client := srv.SQS(sqstest.At(srv.Listen(t)))
func At(url string) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.BaseEndpoint = aws.String(url)
		o.HTTPClient = awshttp.NewBuildableClient()
	}
}

// Authorize installs a rule that is asked before each call with the IAM action
// ("SendMessage", for its batch form too) and the ARN of the queue or topic. An
// error makes the call fail as AccessDenied (SQS) or AuthorizationError (SNS). nil
// allows everything again. The rule must not call the server.
func (s *Server) Authorize(rule func(action, arn string) error) {
	s.inner.SetAuthorize(rule)
	s.sns.SetAuthorize(rule)
}

// Bind gives an access key an IAM policy, or ends the test; SQS and SNS then refuse
// what the policy does not allow. "" frees the key. Clients of the key are made with
// As and SNSAs. Keys without a policy may do everything in their account.
func (s *Server) Bind(tb testing.TB, accessKey, policy string) {
	tb.Helper()
	if err := errors.Join(s.inner.Bind(accessKey, policy), s.sns.Bind(accessKey, policy)); err != nil {
		tb.Fatalf("sqstest: bind: %v", err)
	}
}
