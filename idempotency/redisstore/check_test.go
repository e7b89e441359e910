package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// advised are the options that the package documentation advises.
func advised(addr string) *redis.Options {
	return &redis.Options{
		Addr: addr, DialTimeout: time.Second, ReadTimeout: 500 * time.Millisecond, WriteTimeout: 500 * time.Millisecond,
		PoolTimeout: time.Second, MaxRetries: 1, ContextTimeoutEnabled: true,
	}
}

func newClient(t *testing.T, o *redis.Options) *redis.Client {
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// start returns a redis-server of the test's own.
func start(t *testing.T, options ...string) *process {
	t.Helper()
	p, err := startProcess(false, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

var checkRequest = idempotency.CheckRequest{Queue: queue, Visibility: 30 * time.Second, Lease: 24 * time.Second, StoreTimeout: time.Second}

// findings wants the findings to be those of the names, each with its severity, and
// returns them as text.
func findings(t *testing.T, store *redisstore.Store, want ...string) string {
	t.Helper()
	found, err := store.Check(t.Context(), checkRequest)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var text strings.Builder
	for _, f := range found {
		got = append(got, f.Name+" "+f.Severity.String())
		fmt.Fprintln(&text, f)
		if f.Problem == "" || f.Advice == "" {
			t.Errorf("finding without words: %+v", f)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s%s", diff, text.String())
	}
	return text.String()
}

func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	t.Run("nothing is found where all is as advised", func(t *testing.T) {
		t.Parallel()
		findings(t, redisstore.New(newClient(t, advised(start(t).addr))))
	})
	t.Run("the defaults of the client are told with what to change", func(t *testing.T) {
		t.Parallel()
		store := redisstore.New(newClient(t, &redis.Options{Addr: start(t).addr}))
		text := findings(t, store, "client-contexts warning", "client-timeouts warning")
		says(t, text, "ReadTimeout is 5s instead of 500ms", "WriteTimeout is 5s instead of 500ms",
			"DialTimeout is 5s instead of 1s", "PoolTimeout is 6s instead of 1s", "Set ContextTimeoutEnabled")
	})
	t.Run("a client without timeouts is told", func(t *testing.T) {
		t.Parallel()
		o := advised(start(t).addr)
		o.ReadTimeout = -1
		says(t, findings(t, redisstore.New(newClient(t, o)), "client-timeouts warning"), "ReadTimeout is none instead of 500ms")
	})
	t.Run("a timeout of the store that takes a quarter of a lease is told", func(t *testing.T) {
		t.Parallel()
		store := redisstore.NewWithOptions(newClient(t, advised(start(t).addr)), redisstore.Options{Timeout: 7 * time.Second})
		says(t, findings(t, store, "store-timeout warning"), "7s", "24s")
	})
	t.Run("a server that evicts is an error", func(t *testing.T) {
		t.Parallel()
		p := start(t, "maxmemory-policy volatile-lru")
		says(t, findings(t, redisstore.New(newClient(t, advised(p.addr))), "eviction-policy error"),
			"maxmemory-policy volatile-lru", "Set maxmemory-policy to noeviction", p.addr)
	})
	t.Run("a server that does not show its policy is a warning", func(t *testing.T) {
		t.Parallel()
		p := start(t)
		admin := p.client()
		defer admin.Close()
		if err := admin.Do(t.Context(), "acl", "setuser", "worker", "on", ">secret", "~*", "+@all", "-info").Err(); err != nil {
			t.Fatal(err)
		}
		o := advised(p.addr)
		o.Username, o.Password = "worker", "secret"
		findings(t, redisstore.New(newClient(t, o)), "eviction-policy-unknown warning")
	})
	t.Run("a replica is an error", func(t *testing.T) {
		t.Parallel()
		p := start(t, "replicaof 127.0.0.1 1")
		says(t, findings(t, redisstore.New(newClient(t, advised(p.addr))), "replica error"), "is a replica")
	})
	t.Run("clocks of a cluster that are apart are a warning", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			apart time.Duration
			want  []string
		}{
			{0, nil},
			{time.Hour, []string{"clock-skew warning"}},
		} {
			var slots []redis.ClusterSlot
			for n := range 2 {
				mini := miniredis.RunT(t)
				mini.SetTime(time.Now().Add(time.Duration(n) * c.apart))
				slots = append(slots, redis.ClusterSlot{
					Start: n * 8192, End: n*8192 + 8191, Nodes: []redis.ClusterNode{{Addr: mini.Addr()}},
				})
			}
			rdb := redis.NewClusterClient(&redis.ClusterOptions{
				ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) { return slots, nil },
				DialTimeout:  time.Second, ReadTimeout: 500 * time.Millisecond, WriteTimeout: 500 * time.Millisecond,
				PoolTimeout: time.Second, ContextTimeoutEnabled: true,
			})
			defer rdb.Close()
			// miniredis tells nothing of its memory.
			text := findings(t, redisstore.New(rdb), append(c.want, "eviction-policy-unknown warning", "eviction-policy-unknown warning")...)
			if c.want != nil {
				says(t, text, " ahead of that at ", "Have NTP set the clocks")
			}
		}
	})
	t.Run("a cluster is asked node by node", func(t *testing.T) {
		t.Parallel()
		findings(t, redisstore.NewWithOptions(onCluster(t), redisstore.Options{Timeout: time.Second}), "client-timeouts warning")
	})
	t.Run("a server that is away is no finding but an error, and the client is told all the same", func(t *testing.T) {
		t.Parallel()
		o := advised("127.0.0.1:1")
		o.ContextTimeoutEnabled = false
		found, err := redisstore.New(newClient(t, o)).Check(t.Context(), checkRequest)
		if !errors.Is(err, idempotency.ErrUnavailable) || len(found) != 1 || found[0].Name != "client-contexts" {
			t.Errorf("returned %v, %v", found, err)
		}
	})
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	single := newClient(t, advised("127.0.0.1:1"))
	ofCluster := func(o redis.ClusterOptions) redis.UniversalClient {
		o.Addrs = []string{"127.0.0.1:1"}
		rdb := redis.NewClusterClient(&o)
		t.Cleanup(func() { rdb.Close() })
		return rdb
	}
	for name, c := range map[string]struct {
		rdb  redis.UniversalClient
		opts redisstore.Options
		want []string
	}{
		"reads from replicas":       {ofCluster(redis.ClusterOptions{ReadOnly: true}), redisstore.Options{}, []string{"set ReadOnly", "leave it out"}},
		"reads from the closest":    {ofCluster(redis.ClusterOptions{RouteByLatency: true}), redisstore.Options{}, []string{"set RouteByLatency,"}},
		"reads from anywhere":       {ofCluster(redis.ClusterOptions{RouteRandomly: true}), redisstore.Options{}, []string{"set RouteRandomly,"}},
		"a wrapped client":          {struct{ *redis.Client }{single}, redisstore.Options{}, []string{"is not known here"}},
		"a timeout too short":       {single, redisstore.Options{Timeout: time.Millisecond}, []string{"Options.Timeout is 1ms, must be 0 or 10ms to 1m"}},
		"a timeout too long":        {single, redisstore.Options{Timeout: time.Hour}, []string{"Options.Timeout is 1h0m0s"}},
		"too many replicas":         {single, redisstore.Options{Durability: redisstore.Durability{Replicas: 17}}, []string{"Durability.Replicas is 17, must be 0 to 16"}},
		"all without replicas":      {single, redisstore.Options{Durability: redisstore.Durability{All: true}}, []string{"Durability.All is true"}},
		"waits beyond its timeout":  {single, redisstore.Options{Durability: redisstore.Durability{Replicas: 1, Timeout: 2 * time.Second}}, []string{"Durability.Timeout is 2s", "less than Timeout (1s)", "ReadTimeout (500ms)"}},
		"waits beyond the client's": {single, redisstore.Options{Durability: redisstore.Durability{Replicas: 1, Timeout: 500 * time.Millisecond}}, []string{"must be less than the client's ReadTimeout (500ms)"}},
		"a negative wait":           {single, redisstore.Options{Durability: redisstore.Durability{Timeout: -1}}, []string{"Durability.Timeout is -1ns"}},
	} {
		store := redisstore.NewWithOptions(c.rdb, c.opts)
		err := store.Validate()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		says(t, err.Error(), c.want...)
		if _, claimErr := store.Claim(t.Context(), request("k", "t")); claimErr == nil || !strings.Contains(claimErr.Error(), c.want[0]) {
			t.Errorf("%s: claim returned %v", name, claimErr)
		}
	}
	ok := redisstore.NewWithOptions(single, redisstore.Options{Durability: redisstore.Durability{Replicas: 16, Timeout: 499 * time.Millisecond, All: true}})
	if err := ok.Validate(); err != nil {
		t.Errorf("good options are refused: %v", err)
	}
}

// TestServersThatRefuseWritesAreOutages takes them one by one, and the probe sees
// what a claim would.
func TestServersThatRefuseWritesAreOutages(t *testing.T) {
	t.Parallel()
	outage := func(t *testing.T, rdb *redis.Client, word string) {
		t.Helper()
		store := redisstore.New(rdb)
		_, claimErr := store.Claim(t.Context(), request("hf:orders:"+rand.Text(), "t"))
		for what, err := range map[string]error{"claim": claimErr, "probe": store.Probe(t.Context())} {
			if !errors.Is(err, idempotency.ErrUnavailable) || !strings.Contains(err.Error(), word) {
				t.Errorf("%s returned %v, want ErrUnavailable with %s", what, err, word)
			}
		}
	}
	t.Run("full memory", func(t *testing.T) {
		t.Parallel()
		rdb := newClient(t, advised(start(t).addr))
		store := redisstore.New(rdb)
		if err := store.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		outage(t, rdb, "OOM")
		if err := rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
		if err := store.Probe(t.Context()); err != nil {
			t.Errorf("with memory again the probe returned %v", err)
		}
	})
	t.Run("a replica", func(t *testing.T) {
		t.Parallel()
		outage(t, newClient(t, advised(start(t, "replicaof 127.0.0.1 1", "replica-serve-stale-data yes").addr)), "READONLY")
	})
	t.Run("a replica that has lost its master", func(t *testing.T) {
		t.Parallel()
		outage(t, newClient(t, advised(start(t, "replicaof 127.0.0.1 1", "replica-serve-stale-data no").addr)), "MASTERDOWN")
	})
	t.Run("too few replicas for the server's own rule", func(t *testing.T) {
		t.Parallel()
		outage(t, newClient(t, advised(start(t, "min-replicas-to-write 1").addr)), "NOREPLICAS")
	})
	t.Run("a cluster without all its slots", func(t *testing.T) {
		t.Parallel()
		p := start(t, "cluster-enabled yes", "cluster-port BUSPORT")
		outage(t, newClient(t, advised(p.addr)), "CLUSTERDOWN")
	})
	t.Run("a server that is away", func(t *testing.T) {
		t.Parallel()
		outage(t, newClient(t, advised("127.0.0.1:1")), "refused")
	})
}

// TestProbeReachesEveryMaster fills the memory of one of three.
func TestProbeReachesEveryMaster(t *testing.T) {
	t.Parallel()
	c, err := startCluster(3)
	if err != nil {
		t.Fatal(err)
	}
	store := slowly(c.client(t))
	if err := store.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ops := store.Stats().Ops; ops != 3 {
		t.Errorf("%d masters were probed, want 3", ops)
	}
	for _, p := range c.nodes {
		rdb := p.client()
		defer rdb.Close()
		if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		if err := store.Probe(t.Context()); !errors.Is(err, idempotency.ErrUnavailable) {
			t.Errorf("with one master full the probe returned %v", err)
		}
		if err := rdb.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProbeNeedsNoOtherPermission: it writes under the prefix of the keys claimed.
func TestProbeNeedsNoOtherPermission(t *testing.T) {
	t.Parallel()
	p := start(t)
	admin := p.client()
	defer admin.Close()
	if err := admin.Do(t.Context(), "acl", "setuser", "worker", "on", ">secret", "~acme:orders:*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	o := advised(p.addr)
	o.Username, o.Password = "worker", "secret"
	store := redisstore.New(newClient(t, o))
	if err := store.Probe(t.Context()); err == nil || errors.Is(err, idempotency.ErrUnavailable) {
		t.Errorf("a probe without permission returned %v, want an error that is no outage", err)
	}
	if _, err := store.Claim(t.Context(), request("acme:orders:k", "t")); err != nil {
		t.Fatal(err)
	}
	if err := store.Probe(t.Context()); err != nil {
		t.Errorf("after a claim the probe returned %v", err)
	}
}

// TestUserMayDoNoMoreThanItMust: the permissions of the package documentation, less
// those that it calls better.
func TestUserMayDoNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	p := start(t)
	admin := p.client()
	defer admin.Close()
	if err := admin.Do(t.Context(), "acl", "setuser", "worker", "on", ">secret", "~hf:*", "-@all", "+@connection",
		"+evalsha", "+eval", "+get", "+set", "+del", "+pttl", "+time").Err(); err != nil {
		t.Fatal(err)
	}
	o := advised(p.addr)
	o.Username, o.Password = "worker", "secret"
	store := redisstore.New(newClient(t, o))
	if err := store.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	r := request("hf:orders:k", "t")
	claim, err := store.Claim(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Complete(t.Context(), complete(r, claim)); err != nil {
		t.Error(err)
	}
	if got, err := store.Poll(t.Context(), []string{r.Key}); err != nil || got[0].State != idempotency.StateCompleted {
		t.Errorf("polled %v, %v", got, err)
	}
	if err := store.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if existed, err := store.Forget(t.Context(), r.Key); err != nil || !existed {
		t.Errorf("forgot %v, %v", existed, err)
	}
	findings(t, store, "eviction-policy-unknown warning")
}
