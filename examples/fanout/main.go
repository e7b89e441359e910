// Command fanout is the second half of the demo: it publishes the orders of
// examples/orders to a topic with three queues. Holdfast plans and applies the
// topology and sends a probe through every path; workers of all three queues run, with
// idempotency; and a ledger for each queue holds what they did against what was
// published. Run it with -help.
//
// Reading order: topology.go (what a user of Holdfast would write first), workers.go
// (and second), publish.go, ledger.go; backend.go (SQS, SNS and Redis, real or in the
// process).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/fanout"
)

const usage = `Usage: fanout [flags]

Makes a topic with three queues, publishes the orders of a file to it, handles them
on all three and ends with a ledger for each queue. The exit status is 0 where all
balance, 1 where one does not or the run failed, 2 for wrong flags.

By default SQS, SNS and Redis are in this process. Real ones are used
  SQS, SNS  with AWS_ENDPOINT_URL set (LocalStack), or with -aws and -account: region,
            credentials and endpoint are then the SDK's default chain
  Redis     with REDIS_URL set, redis://[user:password@]host:port/db
On real ones names get a random suffix, and all is deleted at the end.

Flags:
`

type options struct {
	input   string
	aws     bool
	account string
	timeout time.Duration
	verbose bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)) //nolint:gocritic // stop has nothing left to do
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	var o options
	f := flag.NewFlagSet("fanout", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.input, "input", "", "`file` of orders, one JSON object per line (default: examples/orders/orders.jsonl)")
	f.BoolVar(&o.aws, "aws", false, "use the SQS and SNS of the SDK's default configuration although AWS_ENDPOINT_URL is not set")
	f.StringVar(&o.account, "account", "000000000000", "the `account` of the credentials; that of LocalStack by default")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long the queues may take to drain, 1s to 1h")
	f.BoolVar(&o.verbose, "v", false, "log what the consumers have to say to standard error")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case f.NArg() > 0 || o.timeout < time.Second || o.timeout > time.Hour:
		fmt.Fprintf(stderr, "fanout: arguments %q or -timeout %v are out of bounds\nfanout: -help explains the flags\n", f.Args(), o.timeout)
		return 2
	}
	if err := process(ctx, o, env, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "fanout:", err)
		return 1
	}
	return 0
}

var errUnbalanced = errors.New("a ledger does not balance")

// process does the job and prints the ledgers.
func process(ctx context.Context, o options, env func(string) string, stdout, stderr io.Writer) (err error) {
	began := time.Now()
	lines, err := readInput(o.input)
	if err != nil {
		return err
	}
	b, err := openBackend(ctx, o, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.shut(ctx)) }()
	logger := slog.New(slog.DiscardHandler)
	if o.verbose {
		logger = slog.New(slog.NewTextHandler(stderr, nil))
	}

	topology := shopTopology(b.suffix, b.region, b.account)
	clients := fanout.Clients{SQS: b.sqs, SNS: b.sns}
	plan, err := fanout.Plan(ctx, clients, topology, b.config)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "On %s. The plan:\n%s", b.where, brief(plan))
	b.made = true
	if _, err := fanout.Apply(ctx, clients, topology, b.config); err != nil {
		return err
	}
	again, err := fanout.Plan(ctx, clients, topology, b.config)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Applied. Planned again: %s", again)
	if !again.Empty() {
		return errors.New("the second plan is not empty")
	}
	report, err := fanout.Verify(ctx, clients, topology, fanout.VerifyConfig{CallsPerSecond: b.config.CallsPerSecond})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Verified:\n%s", report)
	if !report.OK() {
		return errors.New("a path does not deliver")
	}

	books := newBooks(topology, lines)
	workers, err := newWorkers(b, topology, books, logger)
	if err != nil {
		return err
	}
	runners := append([]holdfast.Runner{}, workers...)
	runners = append(runners, &publisher{client: b.sns, topic: b.topicARN(topology), lines: lines, books: books, timeout: o.timeout})
	if err := holdfast.Run(ctx, runners...); err != nil {
		return err
	}
	// Side by side: that a queue is empty takes two polls of a second to tell.
	dead, errs := make([][]deadLetter, len(books)), make([]error, len(books))
	var reading sync.WaitGroup
	for i, book := range books {
		reading.Go(func() { dead[i], errs[i] = readDeadLetters(ctx, b, book.queue+"-dlq") })
	}
	reading.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	balanced := true
	for i, book := range books {
		l := book.balance(dead[i])
		fmt.Fprint(stdout, l.text())
		balanced = balanced && l.balances()
	}
	if !balanced {
		return errUnbalanced
	}
	fmt.Fprintf(stdout, "All ledgers balance, after %.1f s.\n", time.Since(began).Seconds())
	return nil
}
