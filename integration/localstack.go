package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/internal/leftout"
)

const (
	// DefaultImage is the last LocalStack that needs no token.
	DefaultImage = "localstack/localstack:4.14.0"
	// Region is where queues and topics live.
	Region = "us-east-1"
	// Account is theirs: LocalStack's for credentials that name none.
	Account = "000000000000"

	localstackPort = "4566/tcp"
	startTimeout   = 2 * time.Minute
)

// Stack is an SQS and an SNS with clients for them. It is safe for concurrent use.
type Stack struct {
	// SQS and SNS are clients with made-up credentials, the SDK's own retries and
	// room for 128 idle connections. Make others from Config or with
	// sqs.New(stack.SQS.Options(), ...).
	SQS *sqs.Client
	SNS *sns.Client
	// Config makes clients of other services of the same LocalStack. Its
	// BaseEndpoint is SQS's.
	Config aws.Config
	// URL is the endpoint of SQS, Source says where it comes from: the name of a
	// variable or "container " and the image.
	URL    string
	Source string
}

// Option changes the LocalStack that LocalStack starts. Tests that ask for different
// ones get different containers. An endpoint named by the environment is used as it is.
type Option func(*stackConfig)

type stackConfig struct {
	image    string
	services []string
}

// Image names the image to run. Default: $HOLDFAST_LOCALSTACK_IMAGE, else [DefaultImage].
//
//	stack := integration.LocalStack(t, integration.Image("localstack/localstack:4.14.0"))
func Image(name string) Option { return func(c *stackConfig) { c.image = name } }

// Services names the services to start, for example "sqs", "s3". Default: sqs, sns, sts.
func Services(names ...string) Option { return func(c *stackConfig) { c.services = names } }

// stacks holds the containers of this test binary by image and services.
var stacks once[*Stack]

// LocalStack returns clients of a LocalStack, which it starts where none is named and
// none has been started: the package documentation says how. Where that is not
// possible it skips the test, or fails it where HOLDFAST_REQUIRE_CONTAINERS is set.
func LocalStack(tb testing.TB, opts ...Option) *Stack {
	tb.Helper()
	cfg := stackConfig{
		image:    cmp.Or(os.Getenv("HOLDFAST_LOCALSTACK_IMAGE"), DefaultImage),
		services: []string{"sqs", "sns", "sts"},
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	if sqsURL, snsURL, source := namedEndpoints(os.Getenv); source != "" {
		s, err := stacks.get(sqsURL+" "+snsURL, func() (*Stack, error) {
			s := newStack(sqsURL, snsURL, source)
			return s, s.answers()
		})
		if err != nil {
			tb.Fatalf("integration: %s names %s: %v", source, sqsURL, err)
		}
		return s
	}
	services := strings.Join(slices.Sorted(slices.Values(cfg.services)), ",")
	s, err := stacks.get(cfg.image+" "+services, func() (*Stack, error) { return startLocalStack(cfg.image, services) })
	if err != nil {
		missing(tb, "LocalStack", "HOLDFAST_LOCALSTACK_URL", err)
	}
	return s
}

// namedEndpoints reads the variables that name endpoints; source is empty where none
// does.
func namedEndpoints(getenv func(string) string) (sqsURL, snsURL, source string) {
	if url := getenv("HOLDFAST_LOCALSTACK_URL"); url != "" {
		return url, url, "HOLDFAST_LOCALSTACK_URL"
	}
	for _, source := range []string{"AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"} {
		if url := getenv(source); url != "" {
			return url, cmp.Or(getenv("AWS_ENDPOINT_URL_SNS"), getenv("AWS_ENDPOINT_URL"), url), source
		}
	}
	return "", "", ""
}

func newStack(sqsURL, snsURL, source string) *Stack {
	s := &Stack{URL: sqsURL, Source: source}
	s.Config = aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(sqsURL),
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		// Parallel tests with long polls need more connections than the SDK keeps.
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 128
			t.Proxy = nil // what is on this machine is not reached through a proxy
		}),
	}
	s.SQS = sqs.NewFromConfig(s.Config)
	s.SNS = sns.NewFromConfig(s.Config, func(o *sns.Options) { o.BaseEndpoint = aws.String(snsURL) })
	return s
}

// answers asks for one call of SQS. The first may take LocalStack a while, because it
// loads a service when it is first called.
func (s *Stack) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := s.SQS.ListQueues(ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)})
	return err
}

func startLocalStack(image, services string) (*Stack, error) {
	env := map[string]string{
		"SERVICES": services,
		// Queue URLs name the address that the caller used, so that they work outside.
		"SQS_ENDPOINT_STRATEGY":  "dynamic",
		"SKIP_SSL_CERT_DOWNLOAD": "1",
		"DISABLE_EVENTS":         "1",
		"EAGER_SERVICE_LOADING":  "1",
	}
	if token := os.Getenv("LOCALSTACK_AUTH_TOKEN"); token != "" {
		env["LOCALSTACK_AUTH_TOKEN"] = token
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	addr, err := runContainer(ctx, image, localstackPort, env, func(ctx context.Context, addr string) error {
		return localstackHealthy(ctx, "http://"+addr, strings.Split(services, ","))
	})
	if err != nil {
		return nil, err
	}
	url := "http://" + addr
	return newStack(url, url, "container "+image), nil
}

// localstackHealthy asks LocalStack whether it has the services.
func localstackHealthy(ctx context.Context, url string, services []string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_localstack/health", http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var health struct {
		Services map[string]string `json:"services"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	for _, name := range services {
		if state := health.Services[name]; state != "available" && state != "running" {
			return fmt.Errorf("service %s is %q, known are %v", name, state, slices.Sorted(maps.Keys(health.Services)))
		}
	}
	return nil
}

// missing ends a test for which something is not there.
func missing(tb testing.TB, what, variable string, why error) {
	tb.Helper()
	message := fmt.Sprintf("integration: no %s: %v (or name one in %s)", what, why, variable)
	if required(os.Getenv) {
		tb.Fatal(message + "; HOLDFAST_REQUIRE_CONTAINERS is set")
		return
	}
	leftout.Note(tb, message)
	tb.Skip(message)
}

func required(getenv func(string) string) bool { return isSet(getenv("HOLDFAST_REQUIRE_CONTAINERS")) }

// isSet reads a switch: anything but empty and 0 is on.
func isSet(value string) bool { return value != "" && value != "0" && value != "false" }

// once starts things at most once per key and remembers failures, so that a hundred
// tests do not wait a hundred times for a Docker that is not there.
type once[T any] struct {
	mu    sync.Mutex
	items map[string]func() (T, error)
}

func (o *once[T]) get(key string, start func() (T, error)) (T, error) {
	o.mu.Lock()
	item := o.items[key]
	if item == nil {
		item = sync.OnceValues(start)
		if o.items == nil {
			o.items = map[string]func() (T, error){}
		}
		o.items[key] = item
	}
	o.mu.Unlock()
	return item()
}
