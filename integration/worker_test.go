package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/idempotency"
	"github.com/holdfast-go/holdfast/idempotency/redisstore"
)

// workerVariable makes this test binary a worker process of the rolling restart. It
// holds what the worker needs, in lines.
const workerVariable = "HOLDFAST_INTEGRATION_TEST_WORKER"

// workerVisibility is how soon after a kill -9 a message comes back.
const workerVisibility = 5 * time.Second

// work is the worker process: a consumer with idempotency whose handler writes its
// beginning and end, with the fence, to a list in Redis. The list is the one order of
// all that happened in all processes.
func work() (status int) {
	part := strings.Split(os.Getenv(workerVariable), "\n")
	name, endpoint, queue, network, addr, log := part[0], part[1], part[2], part[3], part[4], part[5]
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, name, err)
		return 1
	}
	rdb := redis.NewClient(&redis.Options{Network: network, Addr: addr, MaxRetries: 1, ContextTimeoutEnabled: true})
	handler := func(ctx context.Context, m *holdfast.Message) error {
		claim, ok := idempotency.FromContext(ctx)
		if !ok {
			return fmt.Errorf("no claim in the context of %s", m.Body)
		}
		note := func(what string) error {
			return rdb.RPush(ctx, log, fmt.Sprintf("%s %s %s %d", what, name, m.Body, claim.Fence)).Err()
		}
		if err := note("begin"); err != nil {
			return err
		}
		select {
		case <-time.After(150 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return note("end")
	}
	c, err := consumer.New(newStack(endpoint, endpoint, "").SQS, queue, holdfast.HandlerFunc(handler), consumer.Config{
		Middleware:  []holdfast.Middleware{idempotency.New(redisstore.New(rdb), idempotency.Config{Consumer: "rolling", KeyAttribute: "order", Prefix: log})},
		Concurrency: 4, Prefetch: 4, Visibility: workerVisibility, Wait: time.Second, StopTimeout: 10 * time.Second,
	})
	if err != nil {
		return fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := c.Run(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// worker is a worker process as the test sees it.
type worker struct {
	name string
	cmd  *exec.Cmd
	done chan error
}

func startWorker(t *testing.T, name string, stack *Stack, q *Queue, rdb *redis.Client, log string) *worker {
	t.Helper()
	opts := rdb.Options()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"="+strings.Join([]string{name, stack.URL, q.URL, opts.Network, opts.Addr, log}, "\n"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &worker{name: name, cmd: cmd, done: make(chan error, 1)}
	go func() { w.done <- cmd.Wait() }()
	return w
}

// history is the list that the workers write.
type history struct {
	begun, ended map[string]int // by order
	open         map[string]string
	problems     []string
}

// readHistory replays the list. A worker that was killed lets go of what it had begun.
func readHistory(ctx context.Context, t *testing.T, rdb *redis.Client, log string, killed map[string]bool) *history {
	t.Helper()
	lines, err := rdb.LRange(ctx, log, 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	h := &history{begun: map[string]int{}, ended: map[string]int{}, open: map[string]string{}}
	fences := map[string]int64{}
	for _, line := range lines {
		var what, name, order string
		var fence int64
		if _, err := fmt.Sscanf(line, "%s %s %s %d", &what, &name, &order, &fence); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		holder, held := h.open[order]
		switch what {
		case "begin":
			h.begun[order]++
			if held && !killed[holder] {
				h.problems = append(h.problems, fmt.Sprintf("%s began %s while %s had it", name, order, holder))
			}
			if h.ended[order] > 0 && !killed[holder] {
				h.problems = append(h.problems, fmt.Sprintf("%s began %s again after it was done", name, order))
			}
			if fence <= fences[order] {
				h.problems = append(h.problems, fmt.Sprintf("%s began %s with fence %d after %d", name, order, fence, fences[order]))
			}
			fences[order], h.open[order] = fence, name
		case "end":
			h.ended[order]++
			if holder != name {
				h.problems = append(h.problems, fmt.Sprintf("%s ended %s, which %q had", name, order, holder))
			}
			if !killed[name] { // else its completion may not have been recorded
				delete(h.open, order)
			}
		}
	}
	return h
}

// TestRollingRestart replaces the workers of a queue one after the other, one of them by
// kill -9, while orders come in, some twice.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	stack, rdb := LocalStack(t), Redis(t)
	q := stack.Queue(t, "rolling", nil)
	log := Unique("rolling")
	t.Cleanup(func() { rdb.Del(context.WithoutCancel(t.Context()), log) })

	workers := []*worker{startWorker(t, "w1", stack, q, rdb, log), startWorker(t, "w2", stack, q, rdb, log)}
	orders := 0
	order := func(n int) {
		for range n {
			sendOrder(t, stack, q, fmt.Sprintf("order-%d", orders))
			if orders%5 == 0 {
				sendOrder(t, stack, q, fmt.Sprintf("order-%d", orders)) // the producer's retry
			}
			orders++
		}
	}
	order(120)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ended := func(n int) func(context.Context) error {
		return func(ctx context.Context) error {
			if got := len(readHistory(ctx, t, rdb, log, nil).ended); got < n {
				return fmt.Errorf("%d of %d orders have ended", got, n)
			}
			return nil
		}
	}
	wait := func(what string, try func(context.Context) error) {
		t.Helper()
		if err := until(ctx, try); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}

	wait("before the kill", ended(10))
	wait("a worker in the middle of its work", func(ctx context.Context) error {
		for _, holder := range readHistory(ctx, t, rdb, log, nil).open {
			if holder == "w1" {
				return workers[0].cmd.Process.Kill()
			}
		}
		if drained(ctx, stack, q) == nil {
			order(8) // w2 was too quick for it
		}
		return errors.New("w1 has nothing")
	})
	<-workers[0].done
	killed := map[string]bool{"w1": true}
	left := len(readHistory(ctx, t, rdb, log, nil).open)
	t.Logf("killed w1; begun and not ended by anyone at that moment: %d", left)

	workers[0] = startWorker(t, "w3", stack, q, rdb, log)
	wait("after the kill", ended(40))
	if err := workers[1].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-workers[1].done; err != nil {
		t.Errorf("w2 after SIGTERM: %v", err)
	}
	workers[1] = startWorker(t, "w4", stack, q, rdb, log)
	wait("all orders", ended(orders))
	wait("the queue", func(ctx context.Context) error { return drained(ctx, stack, q) })
	for _, w := range workers {
		if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := <-w.done; err != nil {
			t.Errorf("%s after SIGTERM: %v", w.name, err)
		}
	}

	h := readHistory(ctx, t, rdb, log, killed)
	for _, p := range h.problems {
		t.Error(p)
	}
	again := 0
	for i := range orders {
		id := fmt.Sprintf("order-%d", i)
		if h.ended[id] < 1 {
			t.Errorf("%s was lost: begun %d times", id, h.begun[id])
		}
		again += h.begun[id] - 1
	}
	// Only what the killed worker ran may have run twice: it has four slots.
	if again > 4 {
		t.Errorf("%d runs more than orders", again)
	}
	t.Logf("%d orders, %d runs begun again after the kill", orders, again)
}
