package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// reaperVariable makes a process the reaper of the one that started it.
const reaperVariable = "HOLDFAST_INTEGRATION_REAPER"

// The reaper is this same program, so it has to branch off before main.
//
//nolint:gochecknoinits // a package that is only imported has no other place for that
func init() {
	if os.Getenv(reaperVariable) == "" {
		return
	}
	// Ctrl-C goes to the whole group; the work is only beginning then.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	reap(os.Stdin)
	os.Exit(0)
}

// reaper is the end of a pipe to a process that clears up when this one ends, however
// it ends: then the pipe closes.
type reaper struct {
	mu    sync.Mutex // guards the pipe
	stdin io.Writer
}

// order is one line on the pipe.
type order struct {
	// Run starts a program now and kills it at the end.
	Run []string
	// RemoveDir removes a folder at the end.
	RemoveDir string
	// Container is removed at the end, from the Docker daemon at DockerHost.
	DockerHost, Container string
}

var theReaper = sync.OnceValues(startReaper)

func startReaper() (*reaper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("reaper: %w", err)
	}
	//nolint:noctx // it ends by itself after this process has ended
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), reaperVariable+"=1")
	// Its output goes nowhere: go test waits for all who hold the test's.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("reaper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("reaper: %w", err)
	}
	return &reaper{stdin: stdin}, nil
}

func (r *reaper) send(o order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("reaper: %w", err)
	}
	return nil
}

// run starts a program as the reaper's child, which it kills when this process has
// ended; then it removes dir.
func (r *reaper) run(dir string, command ...string) error {
	return r.send(order{Run: command, RemoveDir: dir})
}

func (r *reaper) removeAtEnd(dockerHost, containerID string) error {
	return r.send(order{DockerHost: dockerHost, Container: containerID})
}

// reap is the whole life of the reaper.
func reap(orders io.Reader) {
	var atEnd []func()
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		var o order
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			continue // half a line: the writer was killed while it wrote
		}
		if o.RemoveDir != "" {
			atEnd = append(atEnd, func() { _ = os.RemoveAll(o.RemoveDir) })
		}
		if len(o.Run) > 0 {
			//nolint:gosec,noctx // the command is the parent's; it is killed below
			cmd := exec.Command(o.Run[0], o.Run[1:]...)
			if cmd.Start() == nil { // else the parent sees that nothing answers
				atEnd = append(atEnd, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			}
		}
		if o.Container != "" {
			atEnd = append(atEnd, func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				cli, err := client.New(client.WithHost(o.DockerHost))
				if err == nil {
					_ = removeContainer(ctx, cli, o.Container) // else the next run's sweep does it
				}
			})
		}
	}
	for i := len(atEnd) - 1; i >= 0; i-- {
		atEnd[i]()
	}
}
