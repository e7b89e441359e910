package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
)

// maxSkew is how far the clocks of two nodes may be apart: leases change by it when
// one takes over from the other.
const maxSkew = time.Second

// clientOptions are the options that matter here, of either kind of client.
type clientOptions struct {
	dial, read, write, pool time.Duration
	contexts                bool
}

func (s *Store) clientOptions() clientOptions {
	if s.single != nil {
		o := s.single.Options()
		return clientOptions{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.ContextTimeoutEnabled}
	}
	o := s.cluster.Options()
	pool := o.PoolTimeout
	if pool == 0 {
		pool = max(o.ReadTimeout, 0) + time.Second // as go-redis sets it at the nodes
	}
	return clientOptions{o.DialTimeout, o.ReadTimeout, o.WriteTimeout, pool, o.ContextTimeoutEnabled}
}

// clusterErr tells of options by which a cluster client reads from replicas.
func clusterErr(o *redis.ClusterOptions) error {
	var set []string
	for name, on := range map[string]bool{"RouteByLatency": o.RouteByLatency, "RouteRandomly": o.RouteRandomly} {
		if on {
			set = append(set, name)
		}
	}
	if len(set) == 0 && o.ReadOnly {
		set = append(set, "ReadOnly") // the others set it too
	}
	if len(set) == 0 {
		return nil
	}
	return fmt.Errorf("%w: its ClusterOptions set %s, so that it reads from replicas, which lag behind; "+
		"leave it out", ErrClient, strings.Join(set, " and "))
}

// waitErr tells of a client that is out of patience before the replicas are.
func (s *Store) waitErr() error {
	d := s.opts.Durability
	if read := s.clientOptions().read; d.Replicas > 0 && read > 0 && d.Timeout >= read {
		return fmt.Errorf("redisstore: Options.Durability.Timeout is %v, must be less than the client's ReadTimeout (%v)",
			d.Timeout, read)
	}
	return nil
}

// Check implements idempotency.Checker. It looks at the client's timeouts, and asks
// each master for its eviction policy, its role and its version, and all nodes that
// it knows of for their clocks. The names of its findings:
//
//   - client-timeouts (warning): a call can hang for longer than the store waits.
//   - client-contexts (warning): the client does not heed contexts.
//   - store-timeout (warning): Options.Timeout takes much of a lease.
//   - eviction-policy (error): the server evicts keys.
//   - eviction-policy-unknown (warning): the server does not show its policy.
//   - replica (error): the client talks to a replica.
//   - server-version (error): the server is older than Redis 6.
//   - clock-skew (warning): two nodes' clocks are more than 1 s apart.
//
// The replicas behind Sentinel, and behind one address, are not seen.
func (s *Store) Check(ctx context.Context, r idempotency.CheckRequest) ([]idempotency.Finding, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	findings := s.checkClient(r)
	clients, err := s.masters(ctx)
	if err != nil {
		return findings, fmt.Errorf("redisstore: check: %w", err)
	}
	var mu sync.Mutex // guards findings and errs
	var errs []error
	each(ctx, clients, func(c *redis.Client) {
		found, err := checkServer(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		findings = append(findings, found...)
		if err != nil {
			errs = append(errs, fmt.Errorf("redisstore: check of %s: %w", name(c), classify(err)))
		}
	})
	skew := s.checkClocks(ctx, clients)
	mu.Lock()
	defer mu.Unlock()
	findings = append(findings, skew...)
	if err := ctx.Err(); err != nil {
		errs = append(errs, fmt.Errorf("redisstore: check: %w", gaveUp(err)))
	}
	return append([]idempotency.Finding(nil), findings...), errors.Join(errs...)
}

func (s *Store) checkClient(r idempotency.CheckRequest) []idempotency.Finding {
	var findings []idempotency.Finding
	o := s.clientOptions()
	var long []string
	for _, t := range []struct {
		name     string
		is, good time.Duration
	}{
		{"DialTimeout", o.dial, time.Second},
		{"ReadTimeout", o.read, 500 * time.Millisecond},
		{"WriteTimeout", o.write, 500 * time.Millisecond},
		{"PoolTimeout", o.pool, time.Second},
	} {
		switch {
		case t.is <= 0:
			long = append(long, fmt.Sprintf("%s is none instead of %v", t.name, t.good))
		case t.is > max(2*t.good, s.opts.Timeout):
			long = append(long, fmt.Sprintf("%s is %v instead of %v", t.name, t.is, t.good))
		}
	}
	if len(long) > 0 {
		findings = append(findings, idempotency.Finding{
			Name: "client-timeouts", Severity: idempotency.SeverityWarning,
			Problem: fmt.Sprintf("a call of Redis can hang in the client longer than the store's timeout of %v: %s",
				s.opts.Timeout, strings.Join(long, ", ")),
			Advice: "Give the store a client of its own with these timeouts",
		})
	}
	if !o.contexts {
		findings = append(findings, idempotency.Finding{
			Name: "client-contexts", Severity: idempotency.SeverityWarning,
			Problem: "the Redis client does not heed contexts, so calls that were given up keep their connections",
			Advice:  "Set ContextTimeoutEnabled in its options",
		})
	}
	if lease := r.Lease; lease > 0 && s.opts.Timeout > lease/4 {
		findings = append(findings, idempotency.Finding{
			Name: "store-timeout", Severity: idempotency.SeverityWarning,
			Problem: fmt.Sprintf("Options.Timeout of the Redis store is %v, more than a quarter of the claims' lease of %v, "+
				"so that one slow answer can lose a claim", s.opts.Timeout, lease),
			Advice: "Shorten Options.Timeout, or lengthen the visibility timeout",
		})
	}
	return findings
}

// checkServer asks one master.
func checkServer(ctx context.Context, c *redis.Client) ([]idempotency.Finding, error) {
	info := map[string]string{}
	for _, section := range []string{"memory", "replication", "server"} {
		text, err := c.Info(ctx, section).Result()
		if err != nil && !isReply(err) {
			return nil, err
		}
		if outages[code(err)] {
			return nil, err
		}
		// A server that refuses to tell does not show it.
		for line := range strings.Lines(text) {
			if field, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				info[field] = value
			}
		}
	}
	var findings []idempotency.Finding
	add := func(name string, severity idempotency.Severity, problem, advice string) {
		findings = append(findings, idempotency.Finding{Name: name, Severity: severity, Problem: problem, Advice: advice})
	}
	switch policy := info["maxmemory_policy"]; policy {
	case "noeviction":
	case "":
		add("eviction-policy-unknown", idempotency.SeverityWarning,
			fmt.Sprintf("Redis at %s does not show its maxmemory-policy; if it evicts keys, work is done twice", name(c)),
			"See that it is noeviction. A serverless cache that evicts keys at its storage limit cannot serve")
	default:
		add("eviction-policy", idempotency.SeverityError,
			fmt.Sprintf("Redis at %s has maxmemory-policy %s: when its memory is full it evicts the records of claims and "+
				"completions, and work is done twice", name(c), policy),
			"Set maxmemory-policy to noeviction (CONFIG SET, redis.conf, or the parameter group of a managed Redis)")
	}
	if role := info["role"]; role == "slave" {
		add("replica", idempotency.SeverityError,
			fmt.Sprintf("Redis at %s is a replica: it takes no writes, and what it reads lags behind", name(c)),
			"Connect to the master, by Sentinel, a cluster client or the primary endpoint")
	}
	version := info["redis_version"]
	if major, _, _ := strings.Cut(version, "."); major != "" {
		if n, err := strconv.Atoi(major); err == nil && n < 6 {
			add("server-version", idempotency.SeverityError,
				fmt.Sprintf("Redis at %s is version %s, whose SET has no KEEPTTL", name(c), version),
				"Upgrade to Redis 6.0 or newer")
		}
	}
	return findings, nil
}

// reading is a node's clock against this machine's: only differences of readings
// mean something.
type reading struct {
	node    string
	ahead   time.Duration
	unsure  time.Duration // half of what the round trip took
	success bool
}

// checkClocks compares the clocks of all nodes of a cluster.
func (s *Store) checkClocks(ctx context.Context, nodes []*redis.Client) []idempotency.Finding {
	if s.cluster == nil {
		return nil
	}
	var mu sync.Mutex // guards nodes and readings
	nodes = append([]*redis.Client(nil), nodes...)
	_ = s.cluster.ForEachSlave(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, c)
		return nil
	})
	var first, last reading
	each(ctx, nodes, func(c *redis.Client) {
		r := readClock(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !r.success:
		case !first.success:
			first, last = r, r
		case r.ahead < first.ahead:
			first = r
		case r.ahead > last.ahead:
			last = r
		}
	})
	mu.Lock()
	defer mu.Unlock()
	skew := last.ahead - first.ahead
	if skew <= maxSkew+first.unsure+last.unsure {
		return nil
	}
	return []idempotency.Finding{{
		Name: "clock-skew", Severity: idempotency.SeverityWarning,
		Problem: fmt.Sprintf("the clock of Redis at %s is %v ahead of that at %s: when one takes over from the other, "+
			"leases end that much too early or too late", last.node, skew.Round(time.Millisecond), first.node),
		Advice: "Have NTP set the clocks of all Redis nodes",
	}}
}

func readClock(ctx context.Context, c *redis.Client) reading {
	sent := time.Now()
	now, err := c.Time(ctx).Result()
	took := time.Since(sent)
	return reading{node: name(c), ahead: now.Sub(sent.Add(took / 2)), unsure: took / 2, success: err == nil}
}

// name is what a node is called in findings and errors.
func name(c *redis.Client) string { return c.Options().Addr }

// each calls f for all clients at once, and waits for them no longer than ctx
// lives: a client that does not heed contexts may come back later.
func each(ctx context.Context, clients []*redis.Client, f func(*redis.Client)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { f(c) })
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
