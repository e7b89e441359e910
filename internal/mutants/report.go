package main

import (
	"fmt"
	"strings"
	"time"
)

// report is the table of kills, as docs/mutants.md.
func report(results []result, took time.Duration) string {
	var b strings.Builder
	dead := 0
	for _, r := range results {
		if r.dead {
			dead++
		}
	}
	fmt.Fprintf(&b, `# Mutants of the idempotency protocol

A test that cannot fail proves nothing. `+"`make mutants`"+` breaks the rules of the protocol one by one in a copy of the
source (the Go transitions, the Lua scripts, the middleware, the round trips, the runtime), runs the tests that must
notice, and writes this page. %d of %d mutants are killed; the run took %v. A history names the invariant it saw broken first: I1 to I15
are those of [sim_test.go](../idempotency/sim_test.go) and its neighbours, "mirror" is the comparison of the scripts with
the Go twin.

| mutant | breaks | in | verdict | killed by |
|---|---|---|---|---|
`, dead, len(results), took.Round(time.Second))
	for _, r := range results {
		var files []string
		for _, e := range r.edits {
			if len(files) == 0 || files[len(files)-1] != e.file {
				files = append(files, e.file)
			}
		}
		by := r.by
		if !r.dead {
			by = "nothing"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.name, r.rule, strings.Join(files, ", "), r.verdict(), cell(by))
	}
	return b.String()
}

// cell keeps a test's name from breaking the table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
