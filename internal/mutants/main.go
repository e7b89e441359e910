// Mutants breaks the rules of the idempotency protocol one by one, in a copy of the
// source, and runs the tests that must notice. A mutant that lives is a rule that no
// test holds.
//
//	go run ./internal/mutants                   all of them, and docs/mutants.md
//	go run ./internal/mutants -only fence       those whose name matches
//
// Each mutation replaces text that must stand in its file exactly once: one that no
// longer applies is an error, as is one that does not compile.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	only := flags.String("only", "", "regular expression for the names of the mutants to run; docs are then not written")
	workers := flags.Int("j", max(1, runtime.NumCPU()/2), "how many mutants at once, each in a copy of its own")
	timeout := flags.Duration("timeout", 10*time.Minute, "how long the tests of one mutant may take")
	doc := flags.String("doc", "docs/mutants.md", "where the table of kills is written")
	if err := flags.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	var chosen []mutation
	for _, m := range mutations {
		if match.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if err := applyAll(os.DirFS("."), chosen); err != nil {
		return err
	}
	began := time.Now()
	results, err := kill(ctx, out, chosen, *workers, *timeout)
	if err != nil {
		return err
	}
	table := report(results, time.Since(began))
	fmt.Fprint(out, "\n", table)
	if *only == "" {
		if err := os.WriteFile(*doc, []byte(table), 0o644); err != nil { //nolint:gosec // a document
			return err
		}
	}
	alive := 0
	for _, r := range results {
		if !r.dead {
			alive++
		}
	}
	if alive > 0 {
		return fmt.Errorf("%d of %d mutants live", alive, len(results))
	}
	return nil
}

// kill runs the tests of each mutant, and first of all the same tests on the source
// as it is: what fails anyway kills nothing.
func kill(ctx context.Context, out io.Writer, chosen []mutation, workers int, timeout time.Duration) ([]result, error) {
	var (
		mu      sync.Mutex // guards out and firstErr
		first   error
		wg      sync.WaitGroup
		results = make([]result, len(chosen))
		tests   []suite
	)
	for _, m := range chosen {
		if !contains(tests, m.test) {
			tests = append(tests, m.test)
		}
	}
	jobs := make(chan func(*tree) error)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range workers {
		t, err := copyTree(".")
		if err != nil {
			return nil, err
		}
		defer t.remove()
		wg.Go(func() {
			for job := range jobs {
				if err := job(t); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					cancel()
				}
			}
		})
	}
	send := func(job func(*tree) error) {
		if ctx.Err() == nil {
			jobs <- job
		}
	}
	for _, s := range tests {
		send(func(t *tree) error {
			if failed, log := t.test(ctx, s, timeout); failed && ctx.Err() == nil {
				return fmt.Errorf("%s fails without any mutation:\n%s", s, log)
			}
			return nil
		})
	}
	for i, m := range chosen {
		send(func(t *tree) error {
			r, err := t.try(ctx, m, timeout)
			if err != nil {
				return err
			}
			results[i] = r
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(out, "%-7s %6.1fs  %s\n", r.verdict(), r.took.Seconds(), m.name)
			return nil
		})
	}
	close(jobs)
	wg.Wait()
	if first == nil {
		first = context.Cause(ctx)
	}
	return results, first
}

func contains(tests []suite, s suite) bool {
	for _, t := range tests {
		if t == s {
			return true
		}
	}
	return false
}
