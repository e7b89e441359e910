package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const localUsage = `usage: holdfast local [flags]

Serves Amazon SQS and SNS on one port, by plain HTTP, until Ctrl-C.

  --addr host:port   where to listen; port 0 takes a free one (default 127.0.0.1:4566)
  --load file.json   queues, topics and policies to make at the start
  --account digits   the account of callers whose access key is not itself an
                     account of twelve digits (default 000000000000)
  --region name      the region of unsigned requests and of --load (default us-east-1)

All state is in memory: it is gone when the server ends. Nothing is encrypted and
no signature is checked; any credentials will do. It is for tests and development.

  GET  /health, /_localstack/health   answer when the server is up
  POST /_holdfast/reset               takes away all queues, topics and messages

A file for --load; subscribing lets the topic send to the queue:

  {
    "queues": [
      {"name": "orders-dlq"},
      {"name": "orders", "attributes": {
        "VisibilityTimeout": 60,
        "RedrivePolicy": {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:orders-dlq", "maxReceiveCount": 5}}}
    ],
    "topics": [
      {"name": "events", "subscriptions": [
        {"queue": "orders", "attributes": {"RawMessageDelivery": true, "FilterPolicy": {"kind": ["order"]}}}]}
    ],
    "policies": {
      "WORKER": {"Statement": {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "*"}}
    }
  }

policies binds access keys to IAM policies that SQS and SNS then enforce.
`

// drain is how long requests under way may take once the server is to end.
const drain = 2 * time.Second

// local serves until ctx ends.
func local(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {}
	addr := flags.String("addr", "127.0.0.1:4566", "")
	load := flags.String("load", "", "")
	account := flags.String("account", "000000000000", "")
	region := flags.String("region", "us-east-1", "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, localUsage)
		return err
	} else if err != nil {
		fmt.Fprintln(stderr, `"holdfast local --help" tells the flags`)
		return errUsage
	}
	err := errors.Join(checkAddr(*addr), checkAccount(*account), checkRegion(*region), checkNoMore(flags.Args()))
	if err != nil {
		fmt.Fprintln(stderr, err)
		return errUsage
	}
	var seed *seed
	if *load != "" {
		if seed, err = readSeed(*load); err != nil {
			return err
		}
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return err
	}
	url := "http://" + reachable(listener.Addr().(*net.TCPAddr))
	b := newBackend(*account, *region, url)
	if seed != nil {
		if err := b.plant(ctx, seed); err != nil {
			_ = listener.Close()
			return fmt.Errorf("%s: %w", *load, err)
		}
	}
	if host, _, _ := net.SplitHostPort(*addr); !loopback(host) {
		fmt.Fprintf(stderr, "warning: %s can be reached from other machines, and whoever reaches it may read and change everything\n", *addr)
	}
	fmt.Fprintf(stdout, `ready %s

export AWS_ENDPOINT_URL=%s AWS_REGION=%s AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test

State is in memory and ends with this process. Ctrl-C ends it.
`, url, url, *region)
	return serve(ctx, listener, b, drain)
}

// serve answers requests until ctx ends, and those under way for drain longer. Long
// polls are cut then: they might take 20 s, and hold nothing.
func serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration) error {
	polls, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return polls },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	cut()
	patience, done := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer done()
	if server.Shutdown(patience) != nil {
		_ = server.Close() // what is still under way after drain
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// reachable is an address for clients on this machine.
func reachable(a *net.TCPAddr) string {
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func checkAddr(addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("--addr %q is not host:port: %w", addr, err)
	}
	return nil
}

func checkAccount(account string) error {
	bad := len(account) != 12
	for _, c := range account {
		bad = bad || c < '0' || c > '9'
	}
	if bad {
		return fmt.Errorf("--account %q is not twelve digits", account)
	}
	return nil
}

func checkRegion(region string) error {
	for _, c := range region {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("--region %q is not of small letters, digits and hyphens", region)
		}
	}
	if region == "" {
		return errors.New(`--region "" is empty`)
	}
	return nil
}

func checkNoMore(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("argument %q is one too many: holdfast local takes flags only", args[0])
	}
	return nil
}
