package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// redisServer is a redis-server of this program's own, on a port of this machine: a
// store is reached by TCP.
type redisServer struct {
	addr string
	dir  string
	cmd  *exec.Cmd
}

func startRedis(ctx context.Context) (*redisServer, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not in PATH: install it (apt-get install redis-server)")
	}
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &redisServer{addr: l.Addr().String(), dir: dir}
	_, port, _ := net.SplitHostPort(s.addr)
	_ = l.Close() // the server takes the port
	s.cmd = exec.CommandContext(ctx, bin, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	rdb := redis.NewClient(&redis.Options{
		Addr: s.addr, DialerRetries: 1,
		MaxRetries: 500, MinRetryBackoff: 10 * time.Millisecond, MaxRetryBackoff: 20 * time.Millisecond,
	})
	defer rdb.Close()
	if err := rdb.Ping(ctx).Err(); err != nil {
		s.close()
		return nil, fmt.Errorf("redis-server does not answer: %w", err)
	}
	return s, nil
}

func (s *redisServer) close() {
	_ = s.cmd.Process.Kill() // it may have ended with the context
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

// recorder keeps the last EVALSHA that went through a client.
type recorder struct {
	trips
	args []any
}

func (r *recorder) note(cmd redis.Cmder) {
	args := cmd.Args()
	if len(args) < 4 || fmt.Sprint(args[0]) != "evalsha" {
		return
	}
	// The store's commands point into what it uses again.
	r.args = make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case *string:
			r.args[i] = *a
		case *int64:
			r.args[i] = *a
		default:
			r.args[i] = a
		}
	}
}

func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.note(cmd)
		return next(ctx, cmd)
	}
}

func (r *recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			r.note(cmd)
		}
		return next(ctx, cmds)
	}
}

// scripts are the commands that a claim and its completion are on the wire, as the
// store sends them.
type scripts struct {
	claim, complete []any
	fence           string
}

const (
	floorKey   = "hf:floor:0123456789012345678901"
	floorToken = "0123456789abcdef"
)

func (d *dedup) scripts(ctx context.Context) (s scripts, err error) {
	rdb := redis.NewClient(d.rdb.Options())
	defer rdb.Close()
	r := new(recorder)
	rdb.AddHook(r)
	store := redisstore.New(rdb)
	if _, err := store.Forget(ctx, floorKey); err != nil {
		return s, err
	}
	claimed, err := store.Claim(ctx, idempotency.ClaimRequest{
		Key: floorKey, Token: floorToken, Lease: 24 * time.Second, Hard: 12 * time.Hour, TTL: 4 * 24 * time.Hour,
		PayloadHash: "0123456789a", Life: "01234567", MaxAttempts: 5,
	})
	if err != nil {
		return s, err
	}
	s.claim, s.fence = r.args, strconv.FormatInt(claimed.Fence, 10)
	_, err = store.Complete(ctx, idempotency.CompleteRequest{
		Key: floorKey, Token: floorToken, PayloadHash: "0123456789a", Life: "01234567",
		Fence: claimed.Fence, Attempts: claimed.Attempts, TTL: 22 * 24 * time.Hour,
	})
	s.complete = r.args
	return s, err
}

// with returns args for another key, and where fence is not empty for another fence.
func (s scripts) with(args []any, key, fence string) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch text := fmt.Sprint(a); {
		case text == floorKey:
			out[i] = key
		case fence != "" && text == s.fence:
			out[i] = fence
		default:
			out[i] = a
		}
	}
	return out
}

// floor claims and completes n keys in pipelines of ten and returns the CPU time of
// each, in microseconds.
func (d *dedup) floor(ctx context.Context, n int) (float64, error) {
	s, err := d.scripts(ctx)
	if err != nil {
		return 0, err
	}
	d.trials++
	// Made before the clock starts: what a command is made of is not the point.
	claims, completes := make([][]any, n), make([][]any, n)
	for i := range n {
		key := fmt.Sprintf("hf:floor-%d:%016d", d.trials, i)
		claims[i], completes[i] = s.with(s.claim, key, ""), s.with(s.complete, key, "fence")
	}
	fenceAt := 0
	for i, a := range completes[0] {
		if a == "fence" {
			fenceAt = i
		}
	}
	began, err := cpuTime()
	if err != nil {
		return 0, err
	}
	for at := 0; at+10 <= n; at += 10 {
		replies, err := pipelined(ctx, d.rdb, claims[at:at+10])
		if err != nil {
			return 0, err
		}
		for i, r := range replies {
			completes[at+i][fenceAt] = r[1]
		}
		if replies, err = pipelined(ctx, d.rdb, completes[at:at+10]); err != nil {
			return 0, err
		}
		if replies[9][0] != "O" {
			return 0, fmt.Errorf("a completion answered %v", replies[9])
		}
	}
	ended, err := cpuTime()
	return float64((ended - began).Nanoseconds()) / 1e3 / float64(n), err
}

// pipelined returns the words of each reply.
func pipelined(ctx context.Context, rdb *redis.Client, commands [][]any) ([][]string, error) {
	pipe := rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(commands))
	for i, args := range commands {
		cmds[i] = pipe.Do(ctx, args...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	out := make([][]string, len(cmds))
	for i, c := range cmds {
		reply, err := c.Text()
		if out[i] = strings.Fields(reply); err != nil || len(out[i]) < 2 {
			return nil, fmt.Errorf("a script answered %q: %w", reply, err)
		}
	}
	return out, nil
}

// bytesPerKey is what a completed key takes of Redis, as MEMORY USAGE has it.
func (d *dedup) bytesPerKey(ctx context.Context) (int64, error) {
	keys, _, err := d.rdb.Scan(ctx, 0, "hf:bench-*", 100).Result()
	if err != nil {
		return 0, err
	}
	most := int64(0)
	for _, key := range keys {
		n, err := d.rdb.MemoryUsage(ctx, key).Result()
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	if most == 0 {
		return 0, errors.New("there is no completed key")
	}
	return most, nil
}
