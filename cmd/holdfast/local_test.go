package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// TestMain lets the test binary be the command itself, for signals.
func TestMain(m *testing.M) {
	if os.Getenv("HOLDFAST_TEST_MAIN") != "" {
		os.Args = append(os.Args[:1], strings.Fields(os.Getenv("HOLDFAST_TEST_MAIN"))...)
		main()
		return
	}
	os.Exit(m.Run())
}

// started is a server that runs in this process.
type started struct {
	url    string
	stderr *bytes.Buffer
}

// start runs "holdfast local" on a free port until the test ends.
func start(t *testing.T, args ...string) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &started{stderr: &bytes.Buffer{}}
	ended := make(chan error, 1)
	out, in := io.Pipe()
	go func() {
		err := run(ctx, append([]string{"local", "--addr", "127.0.0.1:0"}, args...), in, s.stderr)
		_ = in.Close()
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("it ended early: %s", s.stderr)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	var ok bool
	if s.url, ok = strings.CutPrefix(strings.TrimSpace(line), "ready "); !ok || !strings.HasPrefix(s.url, "http://127.0.0.1:") {
		t.Fatalf("the first line is %q", line)
	}
	return s
}

func credentials(key string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}, nil
	})
}

func (s *started) sqs(key string) *sqs.Client {
	return sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: &s.url, Credentials: credentials(key), RetryMaxAttempts: 1})
}

func (s *started) sns(key string) *sns.Client {
	return sns.New(sns.Options{Region: "us-east-1", BaseEndpoint: &s.url, Credentials: credentials(key), RetryMaxAttempts: 1})
}

func (s *started) call(t *testing.T, method, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// poll begins a long poll and returns when it is on its way.
func poll(t *testing.T, client *sqs.Client, queueURL *string) (ended <-chan error) {
	t.Helper()
	out, written := make(chan error, 1), make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(written) },
	})
	go func() {
		_, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queueURL, WaitTimeSeconds: 20})
		out <- err
	}()
	<-written
	return out
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seed.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// example is the file that the help shows.
func example(t *testing.T) string {
	t.Helper()
	_, rest, ok := strings.Cut(localUsage, "\n  {\n")
	text, _, closed := strings.Cut(rest, "\n  }\n")
	if !ok || !closed {
		t.Fatal("the help shows no file")
	}
	return "{" + text + "}"
}

func TestLocal(t *testing.T) {
	t.Parallel()
	t.Run("serves SQS and SNS on one port, with what the file of the help makes", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--load", write(t, example(t)))
		ctx := t.Context()
		topics, err := s.sns("test").ListTopics(ctx, &sns.ListTopicsInput{})
		if err != nil || len(topics.Topics) != 1 {
			t.Fatalf("%+v, %v", topics, err)
		}
		for _, kind := range []string{"refund", "order"} {
			if _, err := s.sns("test").Publish(ctx, &sns.PublishInput{
				TopicArn: topics.Topics[0].TopicArn, Message: &kind,
				MessageAttributes: snsAttribute("kind", kind),
			}); err != nil {
				t.Fatal(err)
			}
		}
		queue, err := s.sqs("WORKER").GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("orders")})
		if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("the bound key may do more than receive: %+v", queue)
		}
		if _, err := s.sns("WORKER").Publish(ctx, &sns.PublishInput{TopicArn: topics.Topics[0].TopicArn, Message: aws.String("x")}); err == nil || !strings.Contains(err.Error(), "AuthorizationError") {
			t.Errorf("the bound key may publish: %v", err)
		}
		queue, err = s.sqs("test").GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("orders")})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.sqs("WORKER").ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10})
		if err != nil || len(got.Messages) != 1 || *got.Messages[0].Body != "order" {
			t.Errorf("%+v, %v", got, err)
		}
		attributes, err := s.sqs("test").GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []types.QueueAttributeName{"All"}})
		if err != nil || attributes.Attributes["VisibilityTimeout"] != "60" || !strings.Contains(attributes.Attributes["RedrivePolicy"], "orders-dlq") {
			t.Errorf("%+v, %v", attributes, err)
		}
	})
	t.Run("dead-letters what a queue refuses, without trying again", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--load", write(t, `{
			"queues": [
				{"name": "small", "attributes": {"MaximumMessageSize": 1024}},
				{"name": "lost", "attributes": {"Policy": {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage"}}}}],
			"topics": [{"name": "events", "subscriptions": [{"queue": "small", "attributes": {
				"RawMessageDelivery": true, "RedrivePolicy": {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:lost"}}}]}]}`))
		if _, err := s.sns("test").Publish(t.Context(), &sns.PublishInput{
			TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:events"), Message: aws.String(strings.Repeat("x", 2000)),
		}); err != nil {
			t.Fatal(err)
		}
		out, err := s.sqs("test").ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("lost")})
		if err != nil || len(out.Messages) != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	})
	t.Run("answers for its health", func(t *testing.T) {
		t.Parallel()
		s := start(t)
		for _, path := range []string{"/health", "/_localstack/health"} {
			if status, body := s.call(t, http.MethodGet, path); status != 200 || !strings.Contains(body, `"sqs": "running"`) {
				t.Errorf("%s: status %d, %s", path, status, body)
			}
		}
		if status, _ := s.call(t, http.MethodGet, "/"); status != http.StatusMethodNotAllowed {
			t.Errorf("a browser gets status %d", status)
		}
	})
	t.Run("is empty after a reset, which ends polls that wait", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--load", write(t, example(t)))
		client := s.sqs("test")
		queue, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("orders")})
		if err != nil {
			t.Fatal(err)
		}
		polled := poll(t, client, queue.QueueUrl)
		if status, _ := s.call(t, http.MethodPost, "/_holdfast/reset"); status != 200 {
			t.Errorf("status %d", status)
		}
		var gone *types.QueueDoesNotExist
		if err := <-polled; !errors.As(err, &gone) {
			t.Errorf("the poll ended with %v", err)
		}
		queues, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{})
		topics, err2 := s.sns("test").ListTopics(t.Context(), &sns.ListTopicsInput{})
		if err := errors.Join(err, err2); err != nil || len(queues.QueueUrls) != 0 || len(topics.Topics) != 0 {
			t.Errorf("%v: %+v, %+v", err, queues, topics)
		}
		if _, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders")}); err != nil {
			t.Errorf("the name is not free: %v", err)
		}
	})
	t.Run("takes account and region from its flags", func(t *testing.T) {
		t.Parallel()
		s := start(t, "--account", "111122223333", "--region", "eu-west-1", "--load", write(t, `{"queues":[{"name":"q.fifo"}]}`))
		client := sqs.New(sqs.Options{Region: "eu-west-1", BaseEndpoint: &s.url, Credentials: credentials("test")})
		got, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q.fifo")})
		if err != nil || !strings.HasSuffix(*got.QueueUrl, "/111122223333/q.fifo") {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("ends by signals", func(t *testing.T) {
		t.Parallel()
		for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "HOLDFAST_TEST_MAIN=local --addr 127.0.0.1:0")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready http://127.0.0.1:") {
				t.Fatalf("%q, %v", line, err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, out); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %v", sig, err)
			}
		}
	})
}

func TestServeEndsAtOnceAlthoughAPollWaits(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := newBackend("000000000000", "us-east-1", "http://"+l.Addr().String())
	arn, err := b.state.Load().sqs.Create("q", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l, b, time.Minute) }()
	s := &started{url: b.url}
	polled := poll(t, s.sqs("test"), aws.String("q"))
	for waiting := 0; waiting == 0; runtime.Gosched() {
		v, _ := b.state.Load().sqs.Queue(arn)
		waiting = v.Polls
	}
	begun := time.Now()
	cancel()
	if err := <-ended; err != nil || time.Since(begun) >= 15*time.Second { // the poll has 20
		t.Errorf("%v after %v", err, time.Since(begun))
	}
	if err := <-polled; err == nil {
		t.Error("the poll succeeded")
	}
}

func TestArgumentsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for want, args := range map[string]string{
		"usage: holdfast <command>":           "",
		`there is no command "remote"`:        "remote",
		`--addr "4566" is not host:port`:      "local --addr 4566",
		`--account "12" is not twelve digits`: "local --account 12",
		`--region "EU" is not of small`:       "local --region EU",
		`argument "now" is one too many`:      "local now",
		"-port":                               "local --port 1",
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), strings.Fields(args), &stdout, &stderr); !errors.Is(err, errUsage) || !strings.Contains(stderr.String(), want) || stdout.Len() > 0 {
			t.Errorf("%q: %v, %s", args, err, &stderr)
		}
	}
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"local", "--help"}, &stdout, &stderr); !errors.Is(err, flag.ErrHelp) || !strings.Contains(stdout.String(), "State is in memory") && !strings.Contains(stdout.String(), "state is in memory") {
		t.Errorf("help: %v\n%s", err, &stdout)
	}
	if err := run(t.Context(), []string{"local", "--addr", "127.0.0.1:99999"}, &stdout, &stderr); err == nil || errors.Is(err, errUsage) {
		t.Errorf("a port that is none: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{"127.0.0.1": true, "::1": true, "localhost": true, "": false, "0.0.0.0": false, "192.168.1.1": false, "example.com": false} {
		if loopback(host) != want {
			t.Errorf("loopback(%q) is %v", host, !want)
		}
	}
}
