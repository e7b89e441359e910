package redisstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/sqstest"
)

const (
	workerVariable = "HOLDFAST_TEST_WORKER"
	killed         = 3 // the exit status of a process that its handler ended
	poisonAttempts = 2
)

// work is a worker in a process of its own, which ends with the process.
func work(queue string) error {
	client := sqs.New(sqs.Options{
		Region: sqstest.Region, BaseEndpoint: aws.String(os.Getenv("HOLDFAST_TEST_ENDPOINT")),
		Credentials: aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("test", "test", "")),
	})
	rdb := redis.NewClient(options(func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", os.Getenv("HOLDFAST_TEST_REDIS"))
	}))
	var running atomic.Int32
	h := holdfast.HandlerFunc(func(ctx context.Context, m *holdfast.Message) error {
		beside := running.Add(1) - 1
		defer running.Add(-1)
		claim, _ := idempotency.FromContext(ctx)
		verb := "done"
		d := 400 * time.Millisecond
		if m.Body == "killer" {
			verb, d = "killed", 200*time.Millisecond
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		fmt.Fprintln(os.Stdout, verb, m.Body, "attempt", claim.Attempt, "deaths", claim.Deaths, "beside", beside)
		if m.Body == "killer" {
			os.Exit(killed)
		}
		return nil
	})
	c, err := consumer.New(client, queue, h, consumer.Config{
		Visibility: 4 * time.Second,
		Middleware: []holdfast.Middleware{idempotency.New(redisstore.New(rdb), idempotency.Config{
			Consumer: os.Getenv("HOLDFAST_TEST_CONSUMER"), MaxAttempts: poisonAttempts,
		})},
	})
	if err != nil {
		return err
	}
	return holdfast.Run(context.Background(), c)
}

// TestProcessKiller has a handler end its process by os.Exit, over and over, with a
// new process each time, a real Redis and an SQS on a port.
func TestProcessKiller(t *testing.T) {
	t.Parallel()
	realRedis(t) // or why there is none
	const neighbours = 8
	name := rand.Text() // Redis remembers what was done when this test ran before
	srv := sqstest.New(t)
	endpoint := srv.Listen(t)
	q := srv.Queue(t, "orders", sqstest.DLQ(poisonAttempts+3+3)) // a slow machine may burn some
	q.Send(t, "killer")
	for n := range neighbours {
		q.Send(t, fmt.Sprint("neighbour-", n))
	}
	limit, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	deaths := 0
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for over := false; !over; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), workerVariable+"="+q.URL, "HOLDFAST_TEST_ENDPOINT="+endpoint, "HOLDFAST_TEST_REDIS="+server.socket, "HOLDFAST_TEST_CONSUMER="+name,
			"GORACE=atexit_sleep_ms=0")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for waiting := true; waiting; {
			select {
			case err := <-ended:
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.ExitCode() != killed {
					t.Fatalf("a worker ended with %v; output:\n%s", err, &out)
				}
				deaths++
				waiting = false
			case <-tick.C:
				if q.Depth() == (sqstest.Depth{}) {
					waiting, over = false, true
					cmd.Process.Kill()
					<-ended
				}
			case <-limit.Done():
				cmd.Process.Kill()
				<-ended
				t.Fatalf("not over after 5 minutes and %d deaths; %s\noutput:\n%s", deaths, srv.Dump(), &out)
			}
		}
	}
	if deaths != poisonAttempts+2 {
		t.Errorf("%d processes were killed, want %d; output:\n%s", deaths, poisonAttempts+2, &out)
	}
	if dead := q.DLQ().Messages(); len(dead) != 1 || dead[0].Body != "killer" {
		t.Errorf("dead-lettered are %+v, want the killer alone", dead)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	alone := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "done") && !strings.Contains(line, "attempt 1 ") {
			t.Errorf("a neighbour was charged: %s", line)
		}
		if strings.HasPrefix(line, "killed") && strings.HasSuffix(line, "beside 0") {
			alone++
		}
	}
	if alone < poisonAttempts {
		t.Errorf("the killer ran alone %d times, want %d; output:\n%s", alone, poisonAttempts, &out)
	}
	for n := range neighbours {
		if !strings.Contains(out.String(), fmt.Sprintf("done neighbour-%d ", n)) {
			t.Errorf("neighbour %d was not done; output:\n%s", n, &out)
		}
	}
}
