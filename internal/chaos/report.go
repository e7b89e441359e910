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
	line("kills the workers with SIGKILL, stops them with SIGSTOP, kills the redis-server and starts it")
	line("again, cuts connections and slows them down. Some workers are stopped in the middle of an effect and until another")
	line("one has done it; one handler in %d is deaf to its context and writes its effect late when it goes on.", deafShare)
	line("The visibility is %v. All processes write to one ledger, and its order is the history that is judged. %s, %d CPUs,\nseed %d.\n", visibility, runtime.Version(), runtime.NumCPU(), p.seed)
	line("| done to it | |\n|---|---|")
	line("| messages sent | %d, of which %d are repetitions under the same key |", v.sent, v.sent-v.keys)
	line("| time | %v, %.0f messages/s |", v.took.Round(100*time.Millisecond), float64(v.sent)/v.took.Seconds())
	line("| workers | %d, killed %d times, stopped %d times, %d of these for longer than the visibility, %v the longest |",
		p.workers, v.kills, v.pauses, v.freezes, v.longest.Round(10*time.Millisecond))
	line("| redis-server | killed %d times |", v.stores)
	line("| connections | %d cut, %d of these to SQS |\n", v.cuts, v.cutsSQS)
	line("| promise | seen |\n|---|---|")
	line("| lost | %d |", v.lost)
	line("| dead-lettered | %d |", v.dead)
	line("| effects that the database applied | %d |", v.applied)
	line("| late writes that it refused by the fence: a newer one had written | %d |", v.refused)
	line("| repetitions by a newer claim, which a fence lets by, that it refused by the unique key | %d |", v.repeats)
	line("| double effects behind the fence: let by under a fence that had written, from an older claim, or after the completion was recorded | %d |", v.doubles)
	line("| fences smaller than that of an older claim | %d |", v.disorder)
	line("| runs after the completion of their key was recorded | %d |", v.afterDone)
	line("| runs under the fence of another run | %d |", v.sameFence)
	line("| receives per message besides all that was done | %.4f |", v.perMessage(besidesAll...))
	line("| receives per message besides crashes: kills, and stops longer than the visibility, in which SQS hears as little of a worker | %.4f |", v.perMessage(besidesCrashes...))
	line("| receives per message besides kills alone | %.4f |\n", v.perMessage(besidesKills...))
	line("%d runs of handlers for %d keys. An effect was written again, which nothing but the fence or a key can prevent", v.runs, v.keys)
	line("([the crash matrix](idempotency.md#crash-matrix)), %d times:\n", total(v.executions))
	table(&b, v.executions)
	line("%d receives for %d messages. One beyond the first was made %d times:\n", v.receives+v.unseen, v.sent, total(v.again))
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
