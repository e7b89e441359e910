package main

import (
	"fmt"
	"io"
	"strings"
)

// outcome is what all rounds of one workload measured, side by side.
type outcome struct {
	workload     workload
	raw, runtime []cost
}

// bounds are what the runtime may cost beside the hand-written loop.
const (
	maxCPU      = 1.20
	maxAllocs   = 1.25
	maxRequests = 1.03
	minRate     = 0.95 // with handlers of 5 ms at 0 ms latency
	minRateFar  = 0.90 // at 10 ms
)

// printRow writes one line of the table.
func printRow(w io.Writer, workload, side string, c cost) {
	fmt.Fprintf(w, "%-28s %-9s %10.2f %12.2f %14.4f %12.0f\n", workload, side, c.cpu, c.allocs, c.requests, c.rate)
}

func printHead(w io.Writer) {
	fmt.Fprintf(w, "%-28s %-9s %10s %12s %14s %12s\n", "", "", "CPU us/msg", "allocs/msg", "requests/msg", "messages/s")
}

// printReport writes the table, what misses its bound and, as its last line, the
// ratios. all has the four workloads in their order.
func printReport(w io.Writer, all []outcome) {
	printHead(w)
	r := make([]cost, len(all))
	for i, o := range all {
		r[i] = ratios(o.raw, o.runtime)
		printRow(w, o.workload.name, "raw", medians(o.raw))
		printRow(w, "", "holdfast", medians(o.runtime))
		fmt.Fprintf(w, "%-28s %-9s %10.3f %12.3f %14.3f %12.3f\n", "", "ratio", r[i].cpu, r[i].allocs, r[i].requests, r[i].rate)
	}
	near, busy, far := r[noop], r[busyNear], r[busyFar]
	var missed []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			missed = append(missed, fmt.Sprintf(format, args...))
		}
	}
	check(near.cpu <= maxCPU, "cpu %.3f > %.2f", near.cpu, maxCPU)
	check(near.allocs <= maxAllocs, "allocs %.3f > %.2f", near.allocs, maxAllocs)
	check(near.requests <= maxRequests, "requests %.3f > %.2f", near.requests, maxRequests)
	check(busy.rate >= minRate, "rate5ms %.3f < %.2f", busy.rate, minRate)
	check(far.rate >= minRateFar, "rate5ms at 10 ms %.3f < %.2f", far.rate, minRateFar)
	if len(missed) == 0 {
		fmt.Fprintln(w, "bounds: all met")
	} else {
		fmt.Fprintln(w, "bounds missed:", strings.Join(missed, ", "))
	}
	fmt.Fprintf(w, "holdfast/raw cpu=%.3f allocs=%.3f requests=%.3f rate5ms=%.3f\n", near.cpu, near.allocs, near.requests, busy.rate)
}
