//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// process is a child of this program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

func start(cmd *exec.Cmd) (*process, error) {
	// A campaign that is killed itself must leave nothing behind.
	cmd.SysProcAttr = attributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// kill ends it by SIGKILL and waits.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// startSQS builds holdfast and runs its local SQS on a free port.
func startSQS(ctx context.Context, dir string) (*process, string, error) {
	bin := filepath.Join(dir, "holdfast")
	if said, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "github.com/holdfast-go/holdfast/cmd/holdfast").CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("building holdfast: %w\n%s", err, said)
	}
	cmd := exec.CommandContext(ctx, bin, "local", "--addr", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	first := bufio.NewReader(out)
	p, err := start(cmd)
	if err != nil {
		return nil, "", err
	}
	line, err := first.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		p.kill()
		return nil, "", fmt.Errorf("holdfast local says %q (%w), want its URL", line, err)
	}
	return p, url, nil
}

// store is the redis-server, which is killed and started again on the same port and
// with the same data.
type store struct {
	bin, dir, port string

	mu sync.Mutex // guards p
	p  *process
}

func newStore(ctx context.Context, dir string) (*store, error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not in PATH: install it (apt-get install redis-server)")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	s := &store{bin: bin, dir: dir, port: port}
	return s, s.start(ctx)
}

func (s *store) addr() string { return "127.0.0.1:" + s.port }

// start runs it and waits until it answers. What it has answered for survives a
// kill: it is written to the file, though not to the disk, before the reply is sent.
func (s *store) start(ctx context.Context) error {
	p, err := start(exec.CommandContext(context.WithoutCancel(ctx), s.bin, "--bind", "127.0.0.1", "--port", s.port, "--dir", s.dir,
		"--save", "", "--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0",
		"--maxmemory-policy", "noeviction"))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.p = p
	s.mu.Unlock()
	rdb := redis.NewClient(&redis.Options{Addr: s.addr(), DialerRetries: 1, MaxRetries: -1})
	defer rdb.Close()
	for {
		if err = rdb.Ping(ctx).Err(); err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("redis-server ended: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("redis-server does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *store) kill() {
	s.mu.Lock()
	p := s.p
	s.mu.Unlock()
	if p != nil {
		p.kill()
	}
}
