package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/redis/go-redis/v9"
)

func TestEndpointsAreTakenFromTheEnvironmentInOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sqs, sns, source string
		env                    map[string]string
	}{
		{name: "nothing named"},
		{
			name: "ours before the SDK's",
			env:  map[string]string{"HOLDFAST_LOCALSTACK_URL": "http://a", "AWS_ENDPOINT_URL_SQS": "http://b", "AWS_ENDPOINT_URL": "http://c"},
			sqs:  "http://a", sns: "http://a", source: "HOLDFAST_LOCALSTACK_URL",
		},
		{
			name: "the service's before the general one",
			env:  map[string]string{"AWS_ENDPOINT_URL_SQS": "http://b", "AWS_ENDPOINT_URL": "http://c"},
			sqs:  "http://b", sns: "http://c", source: "AWS_ENDPOINT_URL_SQS",
		},
		{
			name: "SNS where SQS is",
			env:  map[string]string{"AWS_ENDPOINT_URL_SQS": "http://b"},
			sqs:  "http://b", sns: "http://b", source: "AWS_ENDPOINT_URL_SQS",
		},
		{
			name: "the general one, SNS apart",
			env:  map[string]string{"AWS_ENDPOINT_URL_SNS": "http://d", "AWS_ENDPOINT_URL": "http://c"},
			sqs:  "http://c", sns: "http://d", source: "AWS_ENDPOINT_URL",
		},
		{name: "SNS alone is not enough", env: map[string]string{"AWS_ENDPOINT_URL_SNS": "http://d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sqsURL, snsURL, source := namedEndpoints(func(k string) string { return c.env[k] })
			if sqsURL != c.sqs || snsURL != c.sns || source != c.source {
				t.Errorf("SQS %q, SNS %q by %q", sqsURL, snsURL, source)
			}
		})
	}
}

// fakeTB notes how a test ended.
type fakeTB struct {
	testing.TB
	ended string
}

func (f *fakeTB) Helper()             {}
func (f *fakeTB) Logf(string, ...any) {}
func (f *fakeTB) Skip(args ...any)    { f.end("skipped: ", args) }
func (f *fakeTB) Fatal(args ...any)   { f.end("failed: ", args) }

// end keeps the first, because the real one would not go on.
func (f *fakeTB) end(how string, args []any) {
	if f.ended == "" {
		f.ended = how + fmt.Sprint(args...)
	}
}

func TestWhatIsMissingSkipsInOneLineOrFails(t *testing.T) {
	leftOut := filepath.Join(t.TempDir(), "left-out")
	t.Setenv("HOLDFAST_LEFT_OUT", leftOut)
	for value, want := range map[string]string{"": "skipped: ", "0": "skipped: ", "1": "failed: "} {
		t.Setenv("HOLDFAST_REQUIRE_CONTAINERS", value)
		tb := &fakeTB{}
		missing(tb, "LocalStack", "HOLDFAST_LOCALSTACK_URL", errors.New("no Docker: no socket"))
		if !strings.HasPrefix(tb.ended, want+"integration: no LocalStack: no Docker: no socket (or name one in HOLDFAST_LOCALSTACK_URL)") || strings.Contains(tb.ended, "\n") {
			t.Errorf("HOLDFAST_REQUIRE_CONTAINERS=%q: %s", value, tb.ended)
		}
	}
	const line = "integration: no LocalStack: no Docker: no socket (or name one in HOLDFAST_LOCALSTACK_URL)\n"
	if got, err := os.ReadFile(leftOut); err != nil || string(got) != line+line {
		t.Errorf("left out: %v\n%s", err, got)
	}
}

func TestLocalStack(t *testing.T) {
	t.Parallel()
	stack := LocalStack(t)
	t.Logf("LocalStack: %s at %s", stack.Source, stack.URL)

	t.Run("gives queues of one's own that go with the test", func(t *testing.T) {
		t.Parallel()
		var gone, dlq *Queue
		t.Run("in a test", func(t *testing.T) { //nolint:paralleltest // the parent looks at what it leaves
			dlq = stack.Queue(t, "holdfast-dlq.fifo", nil)
			gone = stack.Queue(t, "holdfast.fifo", map[string]string{"RedrivePolicy": dlq.RedriveTo(3)})
			if gone.Name == dlq.Name || !strings.HasSuffix(gone.ARN, ":"+gone.Name) || !strings.HasSuffix(gone.URL, "/"+gone.Name) {
				t.Errorf("%+v and %+v", gone, dlq)
			}
		})
		for _, q := range []*Queue{gone, dlq} {
			_, err := stack.SQS.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &q.Name})
			var none *types.QueueDoesNotExist
			if !errors.As(err, &none) {
				t.Errorf("queue %s after its test: %v", q.Name, err)
			}
		}
	})
	t.Run("delivers from a topic to a queue", func(t *testing.T) {
		t.Parallel()
		q := stack.Queue(t, "holdfast", nil)
		topic := stack.Topic(t, "holdfast", nil)
		if _, err := stack.SNS.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &q.ARN, Attributes: map[string]string{"RawMessageDelivery": "true"},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := stack.SNS.Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Message: aws.String("hello")}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(ctx context.Context) error {
			got, err := stack.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.URL, WaitTimeSeconds: 10})
			if err == nil && (len(got.Messages) != 1 || *got.Messages[0].Body != "hello") {
				err = fmt.Errorf("received %+v", got.Messages)
			}
			return err
		})
	})
	t.Run("is one for the whole binary", func(t *testing.T) {
		t.Parallel()
		if again := LocalStack(t); again.URL != stack.URL {
			t.Errorf("%s and %s", stack.URL, again.URL)
		}
	})
	t.Run("listens on this machine only", func(t *testing.T) {
		t.Parallel()
		host, port, err := net.SplitHostPort(strings.TrimPrefix(stack.URL, "http://"))
		if err != nil || !strings.HasPrefix(stack.Source, "container ") {
			return // it was not the harness that bound it
		}
		if host != "127.0.0.1" {
			t.Errorf("host %s", host)
		}
		addrs, err := net.InterfaceAddrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			ip := a.(*net.IPNet).IP
			if ip.IsLoopback() || ip.To4() == nil {
				continue
			}
			if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", net.JoinHostPort(ip.String(), port)); err == nil {
				c.Close()
				t.Errorf("reachable at %s:%s", ip, port)
			}
		}
	})
}

func TestRedisIsReal(t *testing.T) {
	t.Parallel()
	checkRedis(t, Redis(t))
}

// The tests named TestDocker need a Docker; the others can do without.

func TestDockerRunsRedis(t *testing.T) {
	t.Parallel()
	opts, err := redisContainer(redisImage())
	if err != nil {
		missing(t, "Redis in a container", "HOLDFAST_REDIS_IMAGE", err)
	}
	checkRedis(t, newRedis(t, opts))
}

// checkRedis tells a redis-server from what pretends to be one: a number out of Lua is
// written in scientific notation.
func checkRedis(t *testing.T, rdb *redis.Client) {
	t.Helper()
	got, err := rdb.Eval(t.Context(), `return tostring(1790000000000000)`, nil).Text()
	if err != nil || got != "1.79e+15" {
		t.Errorf("%q, %v", got, err)
	}
}

// leaveVariable makes this test binary one that starts a redis-server, and a container
// where an image is named, and waits to be killed.
const leaveVariable = "HOLDFAST_INTEGRATION_TEST_LEAVE"

func TestMain(m *testing.M) {
	if os.Getenv(leaveVariable) != "" {
		leave()
	}
	if os.Getenv(workerVariable) != "" {
		os.Exit(work())
	}
	os.Exit(m.Run())
}

// leave starts things, says so, and waits to be killed.
func leave() {
	opts, err := findRedis()
	if err != nil {
		os.Stdout.WriteString("error " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString(opts.Addr + "\n")
	if image := os.Getenv("HOLDFAST_REDIS_IMAGE"); image != "" {
		if opts, err = redisContainer(image); err != nil {
			os.Stdout.WriteString("none " + err.Error() + "\n")
		} else {
			os.Stdout.WriteString(opts.Addr + "\n")
		}
	}
	os.Stdout.WriteString("ready\n")
	select {}
}

func TestNothingIsLeftByAKilledRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "redis-server", "PATH", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), leaveVariable+"=1", "REDIS_URL=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		said = append(said, lines.Text())
	}
	if len(said) == 0 || strings.HasPrefix(said[0], "error") {
		t.Fatalf("it said %q", said)
	}
	var addrs []redis.Options
	for _, addr := range said {
		switch {
		case strings.HasPrefix(addr, "/"):
			addrs = append(addrs, redis.Options{Network: "unix", Addr: addr})
		case !strings.HasPrefix(addr, "none"):
			addrs = append(addrs, redis.Options{Addr: addr})
		}
	}
	for _, a := range addrs {
		if err := redisAnswers(t.Context(), a); err != nil {
			t.Fatalf("%s while the run lives: %v", a.Addr, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, a := range addrs {
		if err := until(ctx, func(ctx context.Context) error {
			// Not under ctx: at its end nothing would seem to answer.
			if redisAnswers(context.WithoutCancel(ctx), a) == nil {
				return errors.New("still answers")
			}
			return nil
		}); err != nil {
			t.Errorf("%s after the run was killed: %v", a.Addr, err)
		}
	}
	t.Logf("gone with the run: %q", said)
}

func TestDockerIsSweptOfWhatTheDeadHaveLeft(t *testing.T) {
	t.Parallel()
	provider, err := docker()
	if err != nil {
		missing(t, "Docker", "HOLDFAST_LOCALSTACK_URL", err)
	}
	image := redisImage()
	cli := provider.Client()
	if err := haveImage(t.Context(), cli, image); err != nil {
		missing(t, "image", "HOLDFAST_REDIS_IMAGE", err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^$")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	make1 := func(pid int, host string) string {
		made, err := cli.ContainerCreate(t.Context(), client.ContainerCreateOptions{Config: &container.Config{
			Image: image, Labels: map[string]string{labelOwner: strconv.Itoa(pid), labelHost: host},
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = removeContainer(context.WithoutCancel(t.Context()), cli, made.ID) })
		return made.ID
	}
	left := make1(dead.ProcessState.Pid(), hostname)
	kept := map[string]string{
		"of the living":      make1(os.Getpid(), hostname),
		"of another machine": make1(dead.ProcessState.Pid(), hostname+"-other"),
	}
	if err := sweep(t.Context(), cli); err != nil {
		t.Fatal(err)
	}
	if _, err := cli.ContainerInspect(t.Context(), left, client.ContainerInspectOptions{}); err == nil {
		t.Error("the container of a dead run is still there")
	}
	for whose, id := range kept {
		if _, err := cli.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{}); err != nil {
			t.Errorf("the container %s: %v", whose, err)
		}
	}
}

func TestDockerPullsNothingUnasked(t *testing.T) {
	t.Parallel()
	provider, err := docker()
	if err != nil {
		missing(t, "Docker", "HOLDFAST_LOCALSTACK_URL", err)
	}
	err = haveImage(t.Context(), provider.Client(), "127.0.0.1:1/holdfast/none:0")
	if err == nil || !strings.Contains(err.Error(), "HOLDFAST_PULL=1") {
		t.Errorf("%v", err)
	}
}
