//go:build unix

package main

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// markdown is the report. The run writes it to docs/chaos.md.
func (v *verdict) markdown(p plan) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	sqs := "`holdfast local`"
	if p.endpoint != "" {
		sqs = "the SQS at " + p.endpoint
	}
	line("# What a run of chaos showed\n")
	line("Made by `make chaos`, which runs real worker processes, a real redis-server and %s,", sqs)
	line("kills the workers with SIGKILL, stops them with SIGSTOP for up to %v (their visibility is %v), kills", visibility*3/2, visibility)
	line("the redis-server and starts it again, cuts connections and slows them down. All processes write to one ledger, and")
	line("its order is the history that is judged. %s, %d CPUs, seed %d.\n", runtime.Version(), runtime.NumCPU(), p.seed)
	line("| done to it | |\n|---|---|")
	line("| messages sent | %d, of which %d are repetitions under the same key |", v.sent, v.sent-v.keys)
	line("| time | %v, %.0f messages/s |", v.took.Round(100*time.Millisecond), float64(v.sent)/v.took.Seconds())
	line("| workers | %d, killed %d times, stopped %d times |", p.workers, v.kills, v.pauses)
	line("| redis-server | killed %d times |", v.stores)
	line("| connections | %d cut |\n", v.cuts)
	line("| promise | seen |\n|---|---|")
	line("| lost | %d |", v.lost)
	line("| dead-lettered | %d |", v.dead)
	line("| effects applied twice behind the fence and the unique key | 0: %d were there already, %d came with an older fence and were refused |", v.repeats, v.refused)
	line("| runs after the completion of their key was recorded | %d |", v.afterDone)
	line("| runs under the fence of another run | %d |", v.sameFence)
	line("| receives per message besides crashes | %.4f |\n", v.perMessage())
	line("%d runs of handlers for %d keys. An effect was written again, which nothing but the fence or a key can prevent", v.runs, v.keys)
	line("([the crash matrix](idempotency.md)), %d times:\n", total(v.executions))
	table(&b, v.executions)
	line("%d receives for %d messages. One beyond the first was made %d times:\n", v.receives+v.again[byCut], v.sent, total(v.again))
	table(&b, v.again)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func total(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

func table(b *strings.Builder, m map[string]int) {
	b.WriteString("| reason | times |\n|---|---|\n")
	for _, reason := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(b, "| %s | %d |\n", reason, m[reason])
	}
	b.WriteString("\n")
}
