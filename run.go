package holdfast

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Runner is something with a blocking Run, such as a consumer. Run returns nil
// when ctx was cancelled and the runner stopped in order.
type Runner interface {
	Run(ctx context.Context) error
}

// stopper is a runner that can be hurried: a second signal calls StopNow.
type stopper interface{ StopNow() }

// Run runs several consumers as one program. It returns when all have ended.
//
// SIGTERM, SIGINT and the end of ctx stop them all at the same moment, so their
// stop timeouts run side by side and the program ends within the longest. A
// signal while they stop hurries those that have a StopNow method; the one after
// it is left to the system's default and ends the process. The first runner that fails, at start or
// later, stops the others too.
//
// The error joins those of all runners, each with its place in the list; it is
// nil where every runner ended in order.
func Run(ctx context.Context, runners ...Runner) error {
	if len(runners) == 0 {
		return errors.New("holdfast: Run: no runners given")
	}
	for i, r := range runners {
		if r == nil {
			return fmt.Errorf("holdfast: Run: runner %d is nil", i)
		}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	return runAll(ctx, signals, runners)
}

func runAll(ctx context.Context, signals chan os.Signal, runners []Runner) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	errs := make([]error, len(runners))
	var wg sync.WaitGroup
	for i, r := range runners {
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				errs[i] = fmt.Errorf("runner %d: %w", i, err)
			}
			// A runner that ends leaves a program that does half its work: stop
			// the rest, so that whoever supervises the process starts it anew.
			cancel()
		})
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()

	for {
		select {
		case <-ended:
			return errors.Join(errs...)
		case <-signals:
			if ctx.Err() == nil {
				cancel()
				continue
			}
			for _, r := range runners {
				if s, ok := r.(stopper); ok {
					s.StopNow()
				}
			}
			// From here on a further signal ends the process at once.
			signal.Stop(signals)
			signals = nil
		}
	}
}
