//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// campaign is one run of it all.
type campaign struct {
	plan
	out    io.Writer
	dir    string
	client *sqs.Client // not through a proxy
	queue  string      // URLs
	dlq    string

	sqs                  *process // nil where -endpoint names one
	redis                *store
	toRedis, toSQS       *proxy
	events               *events
	ledger, workerBinary string

	mu     sync.Mutex // guards all below
	slots  []*worker
	lives  int
	kills  int
	pauses int
	errs   []error
}

// worker is one life of a worker process.
type worker struct {
	*process
	life string
	held bool // by the fault that is at it: who is stopped is not killed before it went on
}

func newCampaign(ctx context.Context, p plan, out io.Writer) (c *campaign, err error) {
	c = &campaign{plan: p, out: out, events: newEvents()}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.dir, err = os.MkdirTemp("", "holdfast-chaos-"); err != nil {
		return c, err
	}
	c.ledger = filepath.Join(c.dir, "ledger")
	if c.workerBinary, err = os.Executable(); err != nil {
		return c, err
	}
	endpoint := p.endpoint
	if endpoint == "" {
		if c.sqs, endpoint, err = startSQS(ctx, c.dir); err != nil {
			return c, err
		}
	}
	if c.redis, err = newStore(ctx, c.dir); err != nil {
		return c, err
	}
	if c.toRedis, err = newProxy(ctx, c.redis.addr()); err != nil {
		return c, err
	}
	address, ok := strings.CutPrefix(endpoint, "http://127.0.0.1:")
	if !ok {
		return c, fmt.Errorf("-endpoint is %q, must be http://127.0.0.1:port", endpoint)
	}
	if c.toSQS, err = newProxy(ctx, "127.0.0.1:"+address); err != nil {
		return c, err
	}
	c.client = sqsClient(endpoint)
	return c, c.makeQueues(ctx)
}

func (c *campaign) makeQueues(ctx context.Context) error {
	name := "chaos-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	dlq, err := c.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-dlq")})
	if err != nil {
		return err
	}
	c.dlq = *dlq.QueueUrl
	at, err := c.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: dlq.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return err
	}
	q, err := c.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"100"}`, at.Attributes["QueueArn"]),
	}})
	if err != nil {
		return err
	}
	c.queue = *q.QueueUrl
	return nil
}

// run sends, works, breaks things until the queue is empty, and judges.
func (c *campaign) run(ctx context.Context) (*verdict, error) {
	begin := time.Now()
	fmt.Fprintf(c.out, "chaos: %d messages, each tenth twice, %d workers, seed %d\n", c.messages, c.workers, c.seed)
	for i := range c.workers {
		c.slots = append(c.slots, nil)
		c.live(ctx, i)
	}
	faults, calm := context.WithCancel(ctx)
	defer calm()
	var wg sync.WaitGroup
	freeze := func(faults context.Context, r *rand.Rand) { c.freezeWorkers(ctx, faults, r) }
	for i, fault := range []func(context.Context, *rand.Rand){c.killWorkers, c.pauseWorkers, freeze, c.breakStore, c.breakNetwork} {
		wg.Go(func() { fault(faults, rand.New(rand.NewPCG(c.seed, uint64(i)))) })
	}
	sent, err := c.send(ctx)
	if err == nil {
		err = c.drain(ctx)
	}
	calm()
	wg.Wait()
	took := time.Since(begin)
	c.stopWorkers()
	if err = errors.Join(append(c.errs, err)...); err != nil {
		return nil, err
	}
	dead, err := c.depth(ctx, c.dlq)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(c.ledger)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	wanted := make([]string, c.messages)
	for i := range wanted {
		wanted[i] = strconv.Itoa(i)
	}
	v, err := judge(f, c.events, wanted, dead)
	if err != nil {
		return nil, err
	}
	v.sent, v.took, v.kills, v.pauses, v.stores = sent, took, c.kills, c.pauses, c.events.stores
	v.longest, v.freezes = c.events.longest()
	v.cutsSQS = int(c.toSQS.cuts.Load())
	v.cuts = int(c.toRedis.cuts.Load() + c.toSQS.cuts.Load())
	return v, nil
}

// live begins a life of a worker process.
func (c *campaign) live(ctx context.Context, slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives++
	w := &worker{life: fmt.Sprintf("w%d.%d", slot, c.lives)}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.workerBinary, "worker") // run and close end it
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), job{w.life, "http://" + c.toSQS.addr(), c.queue, c.toRedis.addr(), c.ledger}.env())
	var err error
	if w.process, err = start(cmd); err != nil {
		c.errs = append(c.errs, err)
		w = nil
	}
	c.slots[slot] = w
}

// drain waits until the queue is empty.
func (c *campaign) drain(ctx context.Context) error {
	for tick := 0; ; tick++ {
		n, err := c.depth(ctx, c.queue)
		if err != nil {
			return err
		}
		if tick%10 == 0 {
			fmt.Fprintf(c.out, "chaos: %d messages left, %d kills\n", n, c.killed())
		}
		if n == 0 {
			return nil
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("%d messages were left: %w", n, err)
		}
	}
}

func (c *campaign) killed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kills
}

// depth counts all messages of a queue.
func (c *campaign) depth(ctx context.Context, url string) (n int, err error) {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}
	at, err := c.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		i, err := strconv.Atoi(at.Attributes[string(name)])
		if err != nil {
			return 0, err
		}
		n += i
	}
	return n, nil
}

// backlog is how many messages the queue holds at most. What a worker lost comes back
// behind it: where all waited there from the start, nobody would take over before the end.
const backlog = 5_000

// room waits until the queue holds less than the backlog.
func (c *campaign) room(ctx context.Context) error {
	for {
		n, err := c.depth(ctx, c.queue)
		if err != nil || n < backlog {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%d messages were left: %w", n, err)
		}
	}
}

// send sends all messages, each tenth twice, and returns how many that were.
func (c *campaign) send(ctx context.Context) (sent int, err error) {
	batch := make([]types.SendMessageBatchRequestEntry, 0, 10)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		out, err := c.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &c.queue, Entries: batch})
		if err == nil && len(out.Failed) > 0 {
			err = fmt.Errorf("%d entries were refused", len(out.Failed))
		}
		sent += len(batch)
		batch = batch[:0]
		return err
	}
	for i := range c.messages {
		if i%500 == 0 {
			if err := c.room(ctx); err != nil {
				return sent, err
			}
			if i%50_000 == 0 {
				fmt.Fprintf(c.out, "chaos: %d messages sent, %d kills\n", sent, c.killed())
			}
		}
		key := strconv.Itoa(i)
		for range 1 + count(i%10 == 0) {
			batch = append(batch, types.SendMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(len(batch))), MessageBody: &key,
				MessageAttributes: map[string]types.MessageAttributeValue{
					keyAttribute: {DataType: aws.String("String"), StringValue: &key},
				},
			})
			if len(batch) == 10 {
				if err := flush(); err != nil {
					return sent, err
				}
			}
		}
	}
	return sent, flush()
}

// stopWorkers ends them as an operator does.
func (c *campaign) stopWorkers() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.slots {
		if w == nil {
			continue
		}
		w.signal(syscall.SIGCONT)
		w.signal(syscall.SIGTERM)
	}
	for _, w := range c.slots {
		if w == nil {
			continue
		}
		<-w.done
		if w.err != nil {
			c.errs = append(c.errs, fmt.Errorf("worker %s: %w", w.life, w.err))
		}
	}
	c.slots = nil
}

// close ends all that was started, however far it came.
func (c *campaign) close() {
	for _, w := range c.slots {
		if w != nil {
			w.kill()
		}
	}
	for _, p := range []*proxy{c.toRedis, c.toSQS} {
		if p != nil {
			_ = p.Close()
		}
	}
	if c.redis != nil {
		c.redis.kill()
	}
	if c.sqs != nil {
		c.sqs.kill()
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir)
	}
}

// pause waits for d, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
