// Bench compares the runtime with the best loop one can write by hand on the SDK,
// message by message: CPU time, allocations, requests and messages per second.
// Both run in this process, one after the other and interleaved over several
// rounds, with the same SQS client, against a stub of SQS in a process of its own.
//
//	go run ./internal/bench                     the comparison
//	go run ./internal/bench -side raw -workload "no-op handler, 0" -cpuprofile cpu.out
//	go run ./internal/bench dedup                 what idempotency adds, on a real redis-server
//	go run ./internal/bench send                  the producer beside a hand-written loop
//	go run ./internal/bench replies -calls 500000
//
// The last form counts the replies that the SDK loses to a server as fast as the
// stub (see internal/wholebody).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// The workloads by their place in workloads.
const (
	noop = iota
	noopFar
	busyNear
	busyFar
)

var workloads = []workload{
	noop:     {name: "no-op handler, 0 ms latency", messages: 60_000},
	noopFar:  {name: "no-op handler, 10 ms latency", latency: 10 * time.Millisecond, messages: 24_000},
	busyNear: {name: "5 ms handlers, 0 ms latency", work: 5 * time.Millisecond, messages: 24_000},
	busyFar:  {name: "5 ms handlers, 10 ms latency", latency: 10 * time.Millisecond, work: 5 * time.Millisecond, messages: 24_000},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	switch command {
	case "":
		return compare(ctx, args, out)
	case "stub":
		return stub.Main(in, out)
	case "dedup":
		return compareDedup(ctx, args, out)
	case "send":
		return compareSend(ctx, args, out)
	case "replies":
		fl := flag.NewFlagSet("replies", flag.ContinueOnError)
		calls := fl.Int("calls", 500_000, "`number` of calls each way")
		if err := fl.Parse(args); err != nil {
			return err
		}
		target, err := stub.Spawn(ctx, "stub")
		if err != nil {
			return err
		}
		defer target.Close()
		return countLostReplies(ctx, target, *calls, out)
	}
	return fmt.Errorf("command %q is none of stub, dedup, send, replies", command)
}

func compare(ctx context.Context, args []string, out io.Writer) (err error) {
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := fl.Int("rounds", 9, "`number` of trials of each side for each workload")
	only := fl.String("side", "", "run only raw or holdfast and print each trial (for profiles)")
	match := fl.String("workload", "", "with -side: run only workloads whose name contains `text`")
	heap := fl.Int("heap", 32, "`MiB` that the process holds beside, as a service does")
	cpuProfile := fl.String("cpuprofile", "", "write a CPU profile to `file`")
	memProfile := fl.String("memprofile", "", "write an allocation profile to `file`")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 {
		return fmt.Errorf("-rounds is %d, want at least 1", *rounds)
	}
	if *heap < 0 {
		return fmt.Errorf("-heap is %d, want at least 0", *heap)
	}
	if *match != "" && *only == "" {
		return fmt.Errorf("-workload is %q, which needs -side", *match)
	}
	sides := map[string]side{"raw": runRaw, "holdfast": runHoldfast}
	if *only != "" && sides[*only] == nil {
		return fmt.Errorf("-side is %q, want raw or holdfast", *only)
	}
	// With a live heap of 3 MiB the collector runs a hundred times a second, and what
	// both sides cost depends on how much each happens to hold more than on what it
	// does.
	ballast := make([]byte, *heap<<20)
	defer runtime.KeepAlive(ballast)

	target, err := stub.Spawn(ctx, "stub")
	if err != nil {
		return err
	}
	defer target.Close()
	stopProfiles, err := profile(*cpuProfile, *memProfile)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := stopProfiles(); err == nil {
			err = stopErr
		}
	}()

	fmt.Fprintf(out, "%s, %d CPUs, %d handlers, %d rounds, %d MiB held beside, stub at %s\n", runtime.Version(), runtime.NumCPU(), concurrency, *rounds, *heap, target.URL)
	if *only != "" {
		return runSide(ctx, out, target, *only, sides[*only], *rounds, *match)
	}
	all := make([]outcome, len(workloads))
	for i, w := range workloads {
		all[i].workload = w
		for range *rounds {
			c, err := measure(ctx, target, sides["raw"], w)
			if err != nil {
				return fmt.Errorf("%s, raw: %w", w.name, err)
			}
			all[i].raw = append(all[i].raw, c)
			if c, err = measure(ctx, target, sides["holdfast"], w); err != nil {
				return fmt.Errorf("%s, holdfast: %w", w.name, err)
			}
			all[i].runtime = append(all[i].runtime, c)
		}
	}
	printReport(out, all)
	return nil
}

// runSide runs one side alone and prints each trial.
func runSide(ctx context.Context, out io.Writer, target *stub.Process, name string, s side, rounds int, match string) error {
	printHead(out)
	for _, w := range workloads {
		if !strings.Contains(w.name, match) {
			continue
		}
		for range rounds {
			c, err := measure(ctx, target, s, w)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", w.name, name, err)
			}
			printRow(out, w.name, name, c)
		}
	}
	return nil
}

// profile starts a CPU profile, where cpu names a file, and returns what ends it
// and writes the allocations to the file that mem names.
func profile(cpu, mem string) (stop func() error, err error) {
	var cpuFile *os.File
	if cpu != "" {
		if cpuFile, err = os.Create(cpu); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpuFile); err != nil {
			return nil, err
		}
	}
	if mem != "" {
		runtime.MemProfileRate = 4096
	}
	return func() error {
		if cpuFile != nil {
			pprof.StopCPUProfile()
			if err := cpuFile.Close(); err != nil {
				return err
			}
		}
		if mem == "" {
			return nil
		}
		f, err := os.Create(mem)
		if err != nil {
			return err
		}
		defer f.Close()
		return pprof.Lookup("allocs").WriteTo(f, 0)
	}, nil
}
