package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Result is what came of the cases on a backend.
type Result struct {
	Backend  string
	Cases    int
	Held     int
	Departed []Departure
}

// String is for the log of a test. The names of the cases are in Markdown.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "conformance: %s: %d cases, %d hold, %d known departures from AWS's documentation", r.Backend, r.Cases, r.Held, len(r.Departed))
	for _, d := range r.byReason() {
		fmt.Fprintf(&b, "\nconformance:   departs in %d: %s", len(d.cases), d.reason)
	}
	return b.String()
}

// Markdown is for the documentation: a table of backends, and the departures.
func Markdown(results []*Result) string {
	var b strings.Builder
	b.WriteString("| backend | cases | hold | known departures |\n|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", r.Backend, r.Cases, r.Held, len(r.Departed))
	}
	for _, r := range results {
		if len(r.Departed) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\nWhere %s departs from AWS's documentation:\n\n| what it does | cases |\n|---|---|\n", r.Backend)
		for _, d := range r.byReason() {
			fmt.Fprintf(&b, "| %s | %s |\n", d.reason, strings.Join(d.cases, "<br>"))
		}
	}
	return b.String()
}

// The lines between which docs/testing.md shows what a run printed.
const (
	reportBegins = "<!-- what follows was written by a run of integration/conformance -->\n\n"
	reportEnds   = "\n<!-- what a run wrote ends here -->\n"
)

// splice puts a table between those lines of a document; ok is false where it has
// no such lines.
func splice(document, table string) (spliced string, ok bool) {
	before, rest, begins := strings.Cut(document, reportBegins)
	_, after, ends := strings.Cut(rest, reportEnds)
	return before + reportBegins + table + reportEnds + after, begins && ends
}

// byReason gathers departures that have the same reason, in a fixed order.
func (r *Result) byReason() []departures {
	cases := map[string][]string{}
	for _, d := range r.Departed {
		cases[d.Reason] = append(cases[d.Reason], d.Case)
	}
	var all []departures
	for _, reason := range slices.Sorted(maps.Keys(cases)) {
		all = append(all, departures{reason: reason, cases: slices.Sorted(slices.Values(cases[reason]))})
	}
	return all
}
