package stub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

// Process is a stub that runs as a child process. It is safe for concurrent use.
type Process struct {
	// URL is where it listens, "http://127.0.0.1:port".
	URL string

	cmd    *exec.Cmd
	stdin  io.Closer
	client *http.Client
}

// Spawn runs the current executable again with args, which must lead it to
// [Main], and returns when the stub listens. Close ends it; so does the end of
// this process, however it comes, because that closes the child's standard input.
//
// The child ends, too, when ctx does.
func Spawn(ctx context.Context, args ...string) (*Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("stub: find the executable: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("stub: start %s: %w", exe, err)
	}
	p := &Process{cmd: cmd, stdin: stdin, client: &http.Client{Transport: &http.Transport{}}}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	p.URL = strings.TrimSpace(line)
	if err != nil || !strings.HasPrefix(p.URL, "http://127.0.0.1:") {
		return nil, errors.Join(fmt.Errorf("stub: the child says %q, want its URL", line), err, p.Close())
	}
	return p, nil
}

// QueueURL is the URL of the stub's queue.
func (p *Process) QueueURL() string { return NewServer(p.URL).QueueURL() }

// Close ends the child and waits for it.
func (p *Process) Close() error {
	p.client.CloseIdleConnections()
	_ = p.stdin.Close() // a child that is gone already has closed it
	return p.cmd.Wait()
}

// Reset sets the child's counters to 0 and applies the settings.
func (p *Process) Reset(ctx context.Context, set Settings) error {
	_, err := p.get(ctx, fmt.Sprintf("?latency=%s&budget=%d", set.Latency, set.Budget))
	return err
}

// Counts reads the child's counters.
func (p *Process) Counts(ctx context.Context) (Counts, error) { return p.get(ctx, "") }

func (p *Process) get(ctx context.Context, query string) (c Counts, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+controlPath+query, nil)
	if err != nil {
		return c, fmt.Errorf("stub: %w", err)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return c, fmt.Errorf("stub: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return c, fmt.Errorf("stub: read the counters: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return c, fmt.Errorf("stub: %s: %s", res.Status, body)
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("stub: counters %q: %w", body, err)
	}
	return c, nil
}

// Main is the child: it listens on a free port of 127.0.0.1, writes the URL to
// out and serves until in ends.
func Main(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("stub: %w", err)
	}
	url := "http://" + l.Addr().String()
	if _, err := fmt.Fprintln(out, url); err != nil {
		return fmt.Errorf("stub: say the address: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- NewServer(url).Serve(l) }()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in) // an error of the pipe is its end, too
		close(ended)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("stub: accept: %w", err)
	case <-ended:
		return l.Close()
	}
}
