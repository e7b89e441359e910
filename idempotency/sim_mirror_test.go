package idempotency_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// luaMirror repeats the calls of histories on redisstore and its scripts, in the
// history's time. Redis's TIME cannot be set, so the scripts read it from a key
// instead: that line is all that is changed of them, on their way to the server.
type luaMirror struct {
	rdb   *redis.Client
	store *redisstore.Store
}

// clockHook has scripts read the clock of the history, which is kept beside the
// record.
type clockHook struct {
	mu  sync.Mutex        // guards sha
	sha map[string]string // of the changed script, by the script's own
}

const clockPrefix = "clock:"

func (h *clockHook) patch(cmd redis.Cmder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	args := cmd.Args()
	word := func(i int) string {
		if p, ok := args[i].(*string); ok {
			return *p
		}
		return fmt.Sprint(args[i])
	}
	script := func(i int) {
		const clock = "{redis.call('HGET', '" + clockPrefix + "' .. KEYS[1], 's'), redis.call('HGET', '" + clockPrefix + "' .. KEYS[1], 'us')}"
		patched := strings.ReplaceAll(word(i), "redis.call('TIME')", clock)
		h.sha[hash(word(i))] = hash(patched)
		args[i] = patched
	}
	switch name := strings.ToLower(word(0)); {
	case name == "eval":
		script(1)
	case name == "script" && strings.EqualFold(word(1), "load"):
		script(2)
	case name == "evalsha":
		if sha, ok := h.sha[word(1)]; ok {
			args[1] = sha
		}
	}
}

func hash(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (h *clockHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *clockHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.patch(cmd)
		return next(ctx, cmd)
	}
}

func (h *clockHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			h.patch(cmd)
		}
		return next(ctx, cmds)
	}
}

// newLuaMirror returns a mirror on the server that dial reaches.
func newLuaMirror(t *testing.T, dial func() (net.Conn, error)) simMirror {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{
		Addr:                  "127.0.0.1:6379", // never dialled
		Dialer:                func(context.Context, string, string) (net.Conn, error) { return dial() },
		ReadTimeout:           time.Minute, // test machines are slow
		WriteTimeout:          time.Minute,
		ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() { rdb.Close() })
	rdb.AddHook(&clockHook{sha: make(map[string]string)})
	return &luaMirror{rdb: rdb, store: redisstore.NewWithOptions(rdb, redisstore.Options{Timeout: time.Minute})}
}

func (m *luaMirror) Call(key string, micros int64, request any) (reply any, packed string, ttl time.Duration, err error) {
	ctx := context.Background()
	if err := m.rdb.HSet(ctx, clockPrefix+key, "s", micros/1_000_000, "us", micros%1_000_000).Err(); err != nil {
		return nil, "", 0, err
	}
	switch r := request.(type) {
	case idempotency.ClaimRequest:
		reply, err = call(m.store.Claim(ctx, r))
	case idempotency.ExtendRequest:
		reply, err = call(m.store.Extend(ctx, r))
	case idempotency.CompleteRequest:
		reply, err = call(m.store.Complete(ctx, r))
	case idempotency.ReleaseRequest:
		reply, err = call(m.store.Release(ctx, r))
	}
	if err != nil {
		return nil, "", 0, err
	}
	pipe := m.rdb.Pipeline()
	get, left := pipe.Get(ctx, key), pipe.PTTL(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, "", 0, err
	}
	if errors.Is(get.Err(), redis.Nil) {
		return reply, "", 0, nil
	}
	return reply, get.Val(), left.Val(), nil
}

func call[R any](reply R, err error) (any, error) { return reply, err }

func (m *luaMirror) Put(key string, v *idempotency.Record) error {
	ctx := context.Background()
	if v == nil {
		return m.rdb.Del(ctx, key).Err()
	}
	ttl := time.Duration(redis.KeepTTL)
	if m.rdb.Exists(ctx, key).Val() == 0 {
		ttl = 30 * 24 * time.Hour
	}
	return m.rdb.Set(ctx, key, v.String(), ttl).Err()
}

// redisServer starts a redis-server of the test's own and returns how to reach it.
func redisServer(t *testing.T) func() (net.Conn, error) {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not in PATH: install it (apt-get install redis-server)")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(bin, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "no")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	said := ""
	for lines := bufio.NewScanner(out); !strings.Contains(said, "eady to accept connections"); said += lines.Text() {
		if !lines.Scan() {
			t.Fatalf("redis-server did not start: %s", said)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the server
	return func() (net.Conn, error) { return net.Dial("unix", socket) }
}

// TestHistoriesOnTheScripts runs a share of the histories with the scripts beside
// the Go twin: every reply, every record and every time to live is compared.
func TestHistoriesOnTheScripts(t *testing.T) {
	t.Parallel()
	share := setting(t, "HOLDFAST_HISTORIES", 20_000) / 100
	t.Run("on redis-server", func(t *testing.T) {
		t.Parallel()
		dial := redisServer(t)
		onTheScripts(t, share, dial)
	})
	t.Run("on miniredis", func(t *testing.T) {
		t.Parallel()
		mini := miniredis.NewMiniRedis()
		t.Cleanup(mini.Close)
		onTheScripts(t, min(share/4, 1_000), mini.Dial)
	})
}

func onTheScripts(t *testing.T, n uint64, dial func() (net.Conn, error)) {
	t.Helper()
	first := setting(t, "HOLDFAST_SEED", 1)
	if raceDetector {
		n /= 5
	}
	all := histories(t, first, n, func(t *testing.T) simMirror {
		t.Helper()
		return newLuaMirror(t, dial)
	})
	t.Logf("%d histories, %d calls compared", all["histories"], all["mirrored"])
	if all["mirrored"] == 0 {
		t.Error("no call was compared")
	}
}
