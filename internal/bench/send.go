package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// What sending may cost.
const (
	maxSendCPU = 1.15 // beside the hand-written SendMessageBatch loop
	// minSendTimes bounds messages per second beside one SendMessage for each, where the
	// processor is the limit. At 10 ms latency 100 callers that wait for their answers
	// send 10,000 a second at the most, however few requests carry them, and one call for
	// each comes close to that: there is nothing to gain but CPU time.
	minSendTimes = 4.0
)

// sendBody is what every message is.
var sendBody = `{"order":"o-000042","customer":"c-0007","total":1299,"items":[{"sku":"` + strings.Repeat("s", 200) + `","quantity":1}]}`

// compareSend measures the producer beside a hand-written loop and beside one call for
// each message, all fed by as many goroutines.
func compareSend(ctx context.Context, args []string, out io.Writer) error {
	fl := flag.NewFlagSet("send", flag.ContinueOnError)
	rounds := fl.Int("rounds", 5, "`number` of trials of each side for each workload")
	messages := fl.Int64("messages", 30_000, "`number` of messages of a trial")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *messages < 1000 {
		return fmt.Errorf("-rounds is %d and -messages %d, want at least 1 and 1000", *rounds, *messages)
	}
	ballast := make([]byte, 32<<20) // as in compare
	defer runtime.KeepAlive(ballast)
	target, err := stub.Spawn(ctx, "stub")
	if err != nil {
		return err
	}
	defer target.Close()
	fmt.Fprintf(out, "sending from %d goroutines, %s, %d CPUs, %d rounds\n", concurrency, runtime.Version(), runtime.NumCPU(), *rounds)
	printHead(out)
	var report sendReport
	for i, w := range []workload{
		{name: "sending, 0 ms latency", messages: *messages},
		{name: "sending, 10 ms latency", latency: 10 * time.Millisecond, messages: *messages},
	} {
		costs := make(map[string][]cost)
		for range *rounds {
			for _, name := range []string{"raw", "one by one", "holdfast"} {
				c, err := measureSend(ctx, target, name, w)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, name, err)
				}
				costs[name] = append(costs[name], c)
			}
		}
		for _, name := range []string{"raw", "one by one", "holdfast"} {
			printRow(out, w.name, name, medians(costs[name]))
		}
		report.raw[i], report.one[i] = ratios(costs["raw"], costs["holdfast"]), ratios(costs["one by one"], costs["holdfast"])
	}
	if report.added, err = addedLatency(ctx, target, 20**rounds); err != nil {
		return err
	}
	report.print(out)
	return nil
}

// sendReport has the ratios without latency and at 10 ms.
type sendReport struct {
	raw, one [2]cost // holdfast beside the loop, and beside one by one
	added    time.Duration
}

// print writes what misses its bound and, as its last line, the ratios.
func (r *sendReport) print(w io.Writer) {
	var missed []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			missed = append(missed, fmt.Sprintf(format, args...))
		}
	}
	for i, latency := range []string{"0 ms", "10 ms"} {
		check(r.raw[i].cpu <= maxSendCPU, "cpu at %s %.3f > %.2f", latency, r.raw[i].cpu, maxSendCPU)
	}
	check(r.one[0].rate >= minSendTimes, "rate at 0 ms %.2f times one by one < %.0f", r.one[0].rate, minSendTimes)
	check(r.added <= sendLinger, "a message alone waits %v > %v", r.added, sendLinger)
	if len(missed) == 0 {
		fmt.Fprintln(w, "bounds: all met")
	} else {
		fmt.Fprintln(w, "bounds missed:", strings.Join(missed, ", "))
	}
	fmt.Fprintf(w, "send/raw cpu=%.3f,%.3f rate=%.3f,%.3f send/one rate=%.2f,%.2f alone=+%v\n",
		r.raw[0].cpu, r.raw[1].cpu, r.raw[0].rate, r.raw[1].rate, r.one[0].rate, r.one[1].rate, r.added.Round(10*time.Microsecond))
}

// measureSend runs one trial of a side.
func measureSend(ctx context.Context, target *stub.Process, name string, w workload) (cost, error) {
	s, err := open(name, target)
	if err != nil {
		return cost{}, err
	}
	return trySend(ctx, target, s, w)
}

// trySend fails where a message fails, or the stub has not each just once.
func trySend(ctx context.Context, target *stub.Process, s sending, w workload) (cost, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if err := target.Reset(ctx, stub.Settings{Latency: w.latency}); err != nil {
		return cost{}, errors.Join(err, s.close())
	}
	runtime.GC()
	var begun, sent atomic.Int64
	first, last := int64(float64(w.messages)*windowStart), int64(float64(w.messages)*windowEnd)
	started, ended, failed := make(chan struct{}), make(chan struct{}), make(chan error, concurrency)
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for begun.Add(1) <= w.messages {
				if err := s.send(ctx, sendBody); err != nil {
					failed <- err
					return
				}
				switch sent.Add(1) {
				case first:
					close(started)
				case last:
					close(ended)
				}
			}
		})
	}
	take := func(edge <-chan struct{}) (sample, error) {
		select {
		case <-edge:
			return takeSample(ctx, target, &sent)
		case err := <-failed:
			return sample{}, err
		case <-ctx.Done():
			return sample{}, fmt.Errorf("%d of %d messages after %s", sent.Load(), w.messages, patience)
		}
	}
	a, err := take(started)
	var b sample
	if err == nil {
		b, err = take(ended)
	}
	if err != nil {
		stop() // the senders end
	}
	wg.Wait()
	if err := errors.Join(err, s.close()); err != nil {
		return cost{}, err
	}
	counts, err := target.Counts(ctx)
	if err != nil {
		return cost{}, err
	}
	if counts.Sent != uint64(w.messages) {
		return cost{}, fmt.Errorf("of %d messages the stub has %d", w.messages, counts.Sent)
	}
	return between(a, b), nil
}

// addedLatency is how much longer a message alone takes by the producer than by one
// SendMessage, at the median.
func addedLatency(ctx context.Context, target *stub.Process, n int) (time.Duration, error) {
	if err := target.Reset(ctx, stub.Settings{Latency: 10 * time.Millisecond}); err != nil {
		return 0, err
	}
	var took [2][]float64
	for i, name := range []string{"one by one", "holdfast"} {
		s, err := open(name, target)
		if err != nil {
			return 0, err
		}
		for range n {
			began := time.Now()
			if err := s.send(ctx, sendBody); err != nil {
				return 0, errors.Join(err, s.close())
			}
			took[i] = append(took[i], float64(time.Since(began)))
		}
		if err := s.close(); err != nil {
			return 0, err
		}
	}
	return time.Duration(median(took[1]) - median(took[0])), nil
}
