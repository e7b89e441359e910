package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// DefaultRedisImage is run where neither REDIS_URL nor redis-server is there.
const DefaultRedisImage = "redis:7-alpine"

// redisServers holds the addresses of the Redis servers of this test binary.
var redisServers once[redis.Options]

// Redis returns a client of a Redis, which is started where none is named: the package
// documentation says how. The client is closed when the test ends. Tests share the
// server: names with [Unique] keep them apart. Where there is no Redis it skips the
// test, or fails it where HOLDFAST_REQUIRE_CONTAINERS is set.
//
// The client has the settings that the package redisstore advises, with longer
// timeouts because test machines are slow. Its Options say how another process reaches
// the server.
//
//	store := redisstore.New(integration.Redis(t))
//	once := idempotency.New(store, idempotency.Config{Consumer: integration.Unique("orders")})
func Redis(tb testing.TB) *redis.Client {
	tb.Helper()
	opts, err := redisServers.get("", findRedis)
	if err != nil {
		if os.Getenv("REDIS_URL") != "" {
			tb.Fatalf("integration: REDIS_URL: %v", err)
		}
		missing(tb, "Redis", "REDIS_URL", err)
	}
	return newRedis(tb, opts)
}

func newRedis(tb testing.TB, opts redis.Options) *redis.Client {
	opts.DialTimeout = 2 * time.Second
	opts.ReadTimeout = 5 * time.Second
	opts.WriteTimeout = 5 * time.Second
	opts.PoolTimeout = 10 * time.Second
	opts.MaxRetries = 1
	opts.ContextTimeoutEnabled = true
	rdb := redis.NewClient(&opts)
	tb.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func findRedis() (redis.Options, error) {
	if url := os.Getenv("REDIS_URL"); url != "" {
		opts, err := redis.ParseURL(url)
		if err != nil {
			return redis.Options{}, err
		}
		return *opts, redisAnswers(context.Background(), *opts)
	}
	bin, err := exec.LookPath("redis-server")
	if err == nil {
		return startRedis(bin)
	}
	opts, why := redisContainer(redisImage())
	if why != nil {
		return opts, fmt.Errorf("redis-server is not in PATH; %w", why)
	}
	return opts, nil
}

func redisImage() string { return cmp.Or(os.Getenv("HOLDFAST_REDIS_IMAGE"), DefaultRedisImage) }

// startRedis runs redis-server on a socket until this process ends.
func startRedis(bin string) (redis.Options, error) {
	r, err := theReaper()
	if err != nil {
		return redis.Options{}, err
	}
	dir, err := os.MkdirTemp("", "holdfast-redis-")
	if err != nil {
		return redis.Options{}, err
	}
	opts := redis.Options{Network: "unix", Addr: filepath.Join(dir, "s")}
	log := filepath.Join(dir, "log")
	if err := r.run(dir, bin, "--port", "0", "--unixsocket", opts.Addr, "--dir", dir, "--logfile", log,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"); err != nil {
		return opts, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := until(ctx, func(ctx context.Context) error { return redisAnswers(ctx, opts) }); err != nil {
		said, _ := os.ReadFile(log) // there may be none
		return opts, fmt.Errorf("%s does not answer: %w\n%s", bin, err, said)
	}
	return opts, nil
}

func redisContainer(image string) (redis.Options, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	addr, err := runContainer(ctx, image, "6379/tcp", nil, func(ctx context.Context, addr string) error {
		return redisAnswers(ctx, redis.Options{Addr: addr})
	})
	return redis.Options{Addr: addr}, err
}

func redisAnswers(ctx context.Context, opts redis.Options) error {
	// Its client logs every failure to connect.
	conn, err := new(net.Dialer).DialContext(ctx, cmp.Or(opts.Network, "tcp"), opts.Addr)
	if err != nil {
		return err
	}
	_ = conn.Close() // nothing was written
	opts.MaxRetries, opts.DialerRetries = -1, 1
	opts.DialTimeout, opts.ReadTimeout = 5*time.Second, 5*time.Second
	opts.ContextTimeoutEnabled = true
	rdb := redis.NewClient(&opts)
	defer rdb.Close()
	return rdb.Ping(ctx).Err()
}

// until tries until it succeeds or ctx ends, every 50 ms, and returns the last error.
func until(ctx context.Context, try func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}
