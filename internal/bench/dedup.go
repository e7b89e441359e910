package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
	"github.com/holdfast-go/holdfast/internal/bench/stub"
)

// What idempotency may cost. The floor is what no implementation can go below that
// claims before the handler and records after it: ten claims in one pipeline and ten
// completions in another, by go-redis alone.
const (
	maxFloors      = 1.3
	maxTripsMany   = 0.25 // round trips per message with 100 handlers
	maxTripsOne    = 2.0  // with one
	maxBytesPerKey = 220
)

// trips counts the round trips of a Redis client that call scripts: what it asks once
// at the start is not a message's.
type trips struct{ n atomic.Int64 }

func (t *trips) count(cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		if cmd.Name() == "evalsha" {
			t.n.Add(1)
			return
		}
	}
}

func (t *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (t *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.count(cmd)
		return next(ctx, cmd)
	}
}

func (t *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		t.count(cmds...)
		return next(ctx, cmds)
	}
}

// dedup is the runtime with idempotency on a redis-server of its own.
type dedup struct {
	rdb       *redis.Client
	trips     *trips
	trials    int
	many, one workload
}

func newDedup(addr string) *dedup {
	d := &dedup{
		trips: new(trips),
		rdb: redis.NewClient(&redis.Options{
			Addr: addr, DialTimeout: time.Second, ReadTimeout: 500 * time.Millisecond, WriteTimeout: 500 * time.Millisecond,
			PoolTimeout: time.Second, MaxRetries: 1, ContextTimeoutEnabled: true,
		}),
		many: workload{name: "no-op handler, 0 ms latency", messages: 24_000},
		one:  workload{name: "one handler of 5 ms", work: calmWork, messages: 400},
	}
	d.rdb.AddHook(d.trips)
	return d
}

// side runs the runtime with handlers many at once, with or without idempotency. Each
// trial has a consumer's name, and with it keys, of its own.
func (d *dedup) side(handlers int, protected bool) side {
	return func(ctx context.Context, target *stub.Process, handle func()) error {
		cfg := consumer.Config{Concurrency: handlers}
		if protected {
			d.trials++
			once := idempotency.New(redisstore.New(d.rdb), idempotency.Config{
				Consumer: fmt.Sprintf("bench-%d", d.trials),
				Key:      byID,
			})
			cfg.Middleware = []holdfast.Middleware{once}
		}
		c, err := consumer.New(newPlainClient(target.URL), target.QueueURL(), holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error {
			handle()
			return nil
		}), cfg)
		if err != nil {
			return err
		}
		return c.Run(ctx)
	}
}

// compareDedup measures what idempotency adds.
func compareDedup(ctx context.Context, args []string, out io.Writer) (err error) {
	fl := flag.NewFlagSet("dedup", flag.ContinueOnError)
	rounds := fl.Int("rounds", 5, "`number` of trials of each side")
	heap := fl.Int("heap", 32, "`MiB` that the process holds beside, as a service does")
	only := fl.Bool("only", false, "run only the side with idempotency and 100 handlers, and print each trial (for profiles)")
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
	ballast := make([]byte, *heap<<20)
	defer runtime.KeepAlive(ballast)
	server, err := startRedis(ctx)
	if err != nil {
		return err
	}
	defer server.close()
	target, err := stub.Spawn(ctx, "stub")
	if err != nil {
		return err
	}
	defer target.Close()
	d := newDedup(server.addr)
	defer d.rdb.Close()
	stopProfiles, err := profile(*cpuProfile, *memProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfiles()) }()

	if *only {
		d.many.messages = 60_000
		printHead(out)
		for range *rounds {
			c, err := measure(ctx, target, d.side(concurrency, true), d.many)
			if err != nil {
				return err
			}
			printRow(out, d.many.name, "dedup", c)
		}
		return nil
	}
	r := &dedupReport{}
	for range *rounds {
		if err := d.round(ctx, target, r); err != nil {
			return err
		}
	}
	if r.bytes, err = d.bytesPerKey(ctx); err != nil {
		return err
	}
	r.print(out)
	return nil
}

// round runs all sides once, one after the other.
func (d *dedup) round(ctx context.Context, target *stub.Process, r *dedupReport) error {
	plain, err := measure(ctx, target, d.side(concurrency, false), d.many)
	if err != nil {
		return fmt.Errorf("without idempotency: %w", err)
	}
	before := d.trips.n.Load()
	protected, err := measure(ctx, target, d.side(concurrency, true), d.many)
	if err != nil {
		return fmt.Errorf("with idempotency: %w", err)
	}
	many := float64(d.trips.n.Load()-before) / float64(d.many.messages)
	floor, err := d.floor(ctx, int(d.many.messages)/4)
	if err != nil {
		return fmt.Errorf("the floor: %w", err)
	}
	before = d.trips.n.Load()
	added, err := d.calm(ctx, target)
	if err != nil {
		return fmt.Errorf("one handler with idempotency: %w", err)
	}
	trips := float64(d.trips.n.Load()-before) / float64(d.one.messages)
	trip, err := d.roundTrip(ctx)
	if err != nil {
		return err
	}
	r.plain, r.protected = append(r.plain, plain), append(r.protected, protected)
	r.many, r.one, r.floor = append(r.many, many), append(r.one, trips), append(r.floor, floor)
	r.added, r.trip = append(r.added, added), append(r.trip, trip)
	return nil
}

// dedupReport is what all rounds measured.
type dedupReport struct {
	plain, protected []cost
	many, one        []float64 // round trips per message with 100 handlers and with one
	floor            []float64 // us of CPU per message
	added            []float64 // us that a message takes longer at low load
	trip             []float64 // us for one claim by go-redis alone, at low load
	bytes            int64
}

func (r *dedupReport) print(w io.Writer) {
	plain, protected := medians(r.plain), medians(r.protected)
	floors := make([]float64, len(r.floor))
	for i := range floors {
		floors[i] = (r.protected[i].cpu - r.plain[i].cpu) / r.floor[i]
	}
	printHead(w)
	printRow(w, "no-op handler, 0 ms latency", "plain", plain)
	printRow(w, "", "dedup", protected)
	fmt.Fprintf(w, "pipelined floor: %.2f us of CPU per message; idempotency adds %.2f x that\n", median(r.floor), median(floors))
	fmt.Fprintf(w, "round trips per message: %.3f with %d handlers, %.3f with one\n", median(r.many), concurrency, median(r.one))
	fmt.Fprintf(w, "at low load a message takes %.0f us more, %.2f x two round trips of %.0f us by go-redis alone\n",
		median(r.added), median(r.added)/(2*median(r.trip)), median(r.trip))
	fmt.Fprintf(w, "Redis holds %d bytes per completed key\n", r.bytes)
	var missed []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			missed = append(missed, fmt.Sprintf(format, args...))
		}
	}
	check(median(floors) <= maxFloors, "cpu %.2f floors > %.1f", median(floors), maxFloors)
	check(median(r.many) <= maxTripsMany, "round trips %.3f > %.2f", median(r.many), maxTripsMany)
	check(median(r.one) <= maxTripsOne, "round trips with one handler %.3f > %.0f", median(r.one), maxTripsOne)
	check(r.bytes <= maxBytesPerKey, "bytes per key %d > %d", r.bytes, maxBytesPerKey)
	if len(missed) == 0 {
		fmt.Fprintln(w, "bounds: all met")
	} else {
		fmt.Fprintln(w, "bounds missed:", strings.Join(missed, ", "))
	}
	fmt.Fprintf(w, "dedup/plain cpu=+%.2ffloors trips100=%.3f trips1=%.3f bytes=%d\n", median(floors), median(r.many), median(r.one), r.bytes)
}
