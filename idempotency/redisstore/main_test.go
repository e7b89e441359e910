package redisstore_test

import (
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

// server is the one redis-server of this test binary; it has a socket in a
// directory of its own and no port.
var server struct {
	socket string
	err    error
}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // tests cut connections on purpose
	if queue := os.Getenv(workerVariable); queue != "" {
		if err := work(queue); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	stop := startServer()
	code := m.Run()
	stop()
	stopAll()
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func startServer() (stop func()) {
	stop = func() {}
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		server.err = errors.New("redis-server is not in PATH: install it (apt-get install redis-server), the store is tested on a real one")
		return stop
	}
	dir, err := os.MkdirTemp("", "holdfast-redis-")
	if err != nil {
		server.err = err
		return stop
	}
	server.socket = filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", server.socket, "--dir", dir,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
	if err := cmd.Start(); err != nil {
		server.err = err
		return func() { os.RemoveAll(dir) }
	}
	// The client's own retries wait for the server to listen.
	rdb := redis.NewClient(&redis.Options{
		Network: "unix", Addr: server.socket, DialerRetries: 1,
		MaxRetries: 500, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 20 * time.Millisecond,
	})
	defer rdb.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err != nil {
		server.err = fmt.Errorf("redis-server does not answer: %w", err)
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	}
}

// realRedis returns a client of the redis-server.
func realRedis(t testing.TB) *redis.Client {
	t.Helper()
	if server.err != nil {
		t.Fatal(server.err)
	}
	rdb := redis.NewClient(options(func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", server.socket)
	}))
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// options are those that the package documentation advises.
func options(dial func(ctx context.Context, network, addr string) (net.Conn, error)) *redis.Options {
	return &redis.Options{
		Addr:                  "127.0.0.1:6379", // never dialled: dial decides; see TestStoreInBubble
		Dialer:                dial,
		DialTimeout:           time.Second,
		ReadTimeout:           30 * time.Second, // test machines are slow
		WriteTimeout:          30 * time.Second,
		MaxRetries:            1,
		ContextTimeoutEnabled: true,
		PoolSize:              16,
		PoolTimeout:           10 * time.Second,
	}
}
