//go:build unix

// Chaos is the test of the whole: worker processes that are killed and stopped, a
// redis-server that is killed and started again, connections that are slow and cut,
// and a queue of which each tenth message is sent twice. It ends with a verdict over
// what the workers wrote to a ledger, and exit status 1 where a promise was broken.
//
//	go run ./internal/chaos -messages 200000 -report docs/chaos.md
//
// SQS is holdfast local in a process of its own, or what -endpoint names. Nothing of
// it leaves this machine, and it ends by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// plan is what a campaign does.
type plan struct {
	messages int           // keys; each tenth is sent twice
	workers  int           // processes
	kills    time.Duration // between two kill -9 of a worker
	endpoint string        // of SQS; empty for holdfast local
	limit    time.Duration // for the whole
	seed     uint64
	report   string // file for the report
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "worker" {
		return work(ctx)
	}
	var p plan
	fl := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fl.IntVar(&p.messages, "messages", 200_000, "`number` of different messages; each tenth is sent twice")
	fl.IntVar(&p.workers, "workers", 4, "`number` of worker processes")
	fl.DurationVar(&p.kills, "kill", time.Second, "`time` between two kill -9 of a worker")
	fl.StringVar(&p.endpoint, "endpoint", "", "`URL` of an SQS on this machine, such as LocalStack's (default: holdfast local, started here)")
	fl.DurationVar(&p.limit, "limit", 30*time.Minute, "`time` after which it gives up")
	fl.Uint64Var(&p.seed, "seed", uint64(time.Now().UnixNano()), "`number` that the faults are drawn from")
	fl.StringVar(&p.report, "report", "", "`file` to write the report to as well")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if p.messages < 1 || p.workers < 2 || p.kills <= 0 || fl.NArg() > 0 {
		return errors.New("-messages must be 1 or more, -workers 2 or more (one takes over from another), -kill more than 0, and there are no other arguments")
	}
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	c, err := newCampaign(ctx, p, out)
	if err != nil {
		return err
	}
	v, err := c.run(ctx)
	c.close()
	if err != nil {
		return err
	}
	text := v.markdown(p)
	fmt.Fprint(out, "\n", text)
	if p.report != "" {
		if err := os.WriteFile(p.report, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return v.err()
}
