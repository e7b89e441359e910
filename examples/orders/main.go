// Command orders shows Holdfast's main job: it reads orders from a file of JSON
// lines, sends them to a queue, and has a worker handle them: long polls, logging,
// timeout, idempotency keyed by the order's id, heartbeat, retry, dead-lettering.
// Then it holds the effects against the input. Run it with -help.
//
// worker.go is what a user of Holdfast would write. The rest makes and checks the
// work: order.go (the input), send.go, job.go (send, then wait for the queue to
// drain), shop.go (the outside world, and its book), deadletters.go, ledger.go,
// requests.go, progress.go, backend.go (SQS and Redis, real or in the process).
package main

//go:generate sh -c "go run . -generate > orders.jsonl.new && mv orders.jsonl.new orders.jsonl"

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast"
)

//go:embed orders.jsonl
var embedded string

const usage = `Usage: orders [flags]

Sends the orders of a file to a queue, handles them, and ends with a ledger made
from the effects. The exit status is 0 where the ledger balances, 1 where it does
not or the run failed, 2 for wrong flags. SIGINT and SIGTERM stop it in order.

By default SQS and Redis are in this process. Real ones are used
  SQS    with AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_SQS set (LocalStack), or with
         -aws: region, credentials and endpoint are then the SDK's default chain
         (AWS_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID, ...), which alone changes
         nothing
  Redis  with REDIS_URL set, redis://[user:password@]host:port/db
On real ones the queue's name gets a random suffix, and the queues and the keys
in Redis are deleted at the end.

Each line of the file is an order:
  {"id":"o-1","customer":"c-7","sku":"tea-assam-250","quantity":2,"cents":2900}
with, where something goes wrong with it, "trouble": "fails-twice", "slow" (takes
5 s; the visibility timeout is 2 s), "refused" (no retry helps) or "always-fails".
A line that is no order is sent all the same. The same line twice is one order sent
twice.

Flags:
`

// options are the flags.
type options struct {
	input    string
	queue    string
	workers  int
	timeout  time.Duration
	aws      bool
	verbose  bool
	generate bool
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the program; it returns the exit status.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	o, err := parseFlags(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case o.generate:
		err = generate(stdout)
	default:
		err = process(ctx, o, env, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "orders:", err)
		return 1
	}
	return 0
}

// queueName leaves room for a suffix and for "-dlq" in the 80 characters of SQS,
// and for the suffix in the 64 of an idempotency.Config.Consumer.
var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,50}$`)

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("orders", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.StringVar(&o.input, "input", "", "`file` of orders, one JSON object per line (default: 500 orders in the program)")
	f.StringVar(&o.queue, "queue", "orders", "`name` of the queue, 1 to 50 letters, digits, - and _")
	f.IntVar(&o.workers, "workers", 16, "how many orders are handled at once, 1 to 10000")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long the queue may take to drain, 1s to 1h")
	f.BoolVar(&o.aws, "aws", false, "use the SQS of the SDK's default configuration although AWS_ENDPOINT_URL is not set")
	f.BoolVar(&o.verbose, "v", false, "log every run of the handler to standard error")
	f.BoolVar(&o.generate, "generate", false, "write the 500 orders to standard output and end")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q", f.Arg(0)))
	}
	if !queueName.MatchString(o.queue) {
		errs = append(errs, fmt.Errorf("-queue is %q, want 1 to 50 letters, digits, - and _", o.queue))
	}
	if o.workers < 1 || o.workers > 10_000 {
		errs = append(errs, fmt.Errorf("-workers is %d, want 1 to 10000", o.workers))
	}
	if o.timeout < time.Second || o.timeout > time.Hour {
		errs = append(errs, fmt.Errorf("-timeout is %v, want 1s to 1h", o.timeout))
	}
	err := errors.Join(errs...)
	if err != nil {
		fmt.Fprintf(stderr, "orders: %v\norders: -help explains the flags\n", err)
	}
	return o, err
}

// process does the job and prints the ledger.
func process(ctx context.Context, o options, env func(string) string, stdout, stderr io.Writer) (err error) {
	lines, err := readInput(o.input)
	if err != nil {
		return err
	}
	b, err := openBackend(ctx, o.queue, o.aws, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.shut(ctx)) }()
	fmt.Fprintf(stdout, "Queue %s on %s; %d workers.\n", b.queue, b.where, o.workers)

	logger := slog.New(slog.DiscardHandler)
	if o.verbose {
		logger = slog.New(slog.NewTextHandler(stderr, nil))
	}
	shop, drain, counted := newShop(), newDrain(), &requests{}
	client := sqs.New(b.sqs.Options(), counted.count)
	worker, err := newWorker(client, b.queue, b.rdb, shop, workerConfig{
		workers: o.workers, hooks: holdfast.Hooks{Settled: drain.onSettled}, logger: logger,
	})
	if err != nil {
		return err
	}
	show := &progress{out: stdout, begun: time.Now(), messages: len(lines), shop: shop, worker: worker, drain: drain}
	ran := holdfast.Run(ctx, worker, &job{
		client: client, queueURL: b.queueURL, lines: lines, drain: drain, timeout: o.timeout, progress: show.line,
	})
	took := time.Since(show.begun)
	show.end()
	return errors.Join(ran, report(ctx, b, lines, shop, summary{
		took: took, requests: counted.snapshot(), stopped: !drain.isDrained(),
	}, stdout))
}

var errUnbalanced = errors.New("the ledger does not balance")

// report prints the ledger. A cancelled ctx does not stop it.
func report(ctx context.Context, b *backend, lines []line, shop *shop, s summary, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	dead, err := readDeadLetters(ctx, b.sqs, b.deadURL)
	if err != nil {
		return err
	}
	l := balance(lines, shop.effects(), dead)
	fmt.Fprint(stdout, l.text(s))
	if !l.balances() {
		return errUnbalanced
	}
	return nil
}

// readInput reads the file, or the orders in the program where name is empty.
func readInput(name string) ([]line, error) {
	if name == "" {
		return readLines(strings.NewReader(embedded))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := readLines(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return lines, nil
}
