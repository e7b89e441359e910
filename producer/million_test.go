package producer_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// sends is how many messages TestMillion sends; make million asks for a million.
var sends = flag.Int("sends", 10_000, "`number` of messages that TestMillion sends")

const (
	senders  = 100 // goroutines
	perBatch = 10
)

// TestMillion sends from 100 goroutines through requests of which every fifth entry
// fails, while requests are throttled, fail with 500, and lose their replies.
func TestMillion(t *testing.T) {
	t.Parallel()
	t.Run("each result is true, each message is there at least once, memory is bounded", func(t *testing.T) {
		inBubble(t, func(t *testing.T) { million(t, "orders", *sends/2) })
	})
	t.Run("on FIFO each message is there just once and in the order of its group", func(t *testing.T) {
		inBubble(t, func(t *testing.T) { million(t, "orders.fifo", *sends/2) })
	})
}

// outcome is what a sender was told of one message.
type outcome struct {
	sent, doubt bool
	id          string
}

func million(t *testing.T, name string, n int) {
	fifo := strings.HasSuffix(name, ".fifo")
	srv := sqstest.New(t, sqstest.NoHistory(), sqstest.LogLimit(-1))
	q := srv.Queue(t, name)
	srv.Delay("SendMessageBatch", 10*time.Millisecond, sqstest.OnReply())
	failed := srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Probability(0.2, 1))
	refused := srv.FailEntries("SendMessageBatch", "InvalidMessageContents", true, sqstest.Probability(0.005, 2))
	throttled := srv.Fail("SendMessageBatch", sqstest.Throttle, sqstest.Probability(0.05, 3))
	broken := srv.Fail("SendMessageBatch", sqstest.Internal500, sqstest.Probability(0.02, 4))
	lost := srv.DropReply("SendMessageBatch", sqstest.Probability(0.05, 5))

	maxPending := 60 // fewer than the senders would have pending, so that they wait
	if fifo {
		maxPending = 400
	}
	var most atomic.Int64
	var p *producer.Producer
	p, err := producer.New(srv.SQS(), q.URL, producer.Config{
		Concurrency: 40, MaxPending: maxPending, Timeout: 4 * time.Minute,
		Hooks: producer.Hooks{Called: func(producer.CalledEvent) {
			for now := int64(p.Stats().Pending); ; {
				if was := most.Load(); now <= was || most.CompareAndSwap(was, now) {
					return
				}
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	told := make([][]outcome, senders)
	var wg sync.WaitGroup
	for s := range senders {
		told[s] = make([]outcome, 0, n/senders)
		wg.Go(func() {
			for len(told[s]) < n/senders {
				told[s] = append(told[s], send(p, s, len(told[s]), fifo)...)
			}
		})
	}
	wg.Wait()
	if err := p.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	for what, fault := range map[string]*sqstest.Injected{"failed entry": failed, "refused entry": refused, "throttled request": throttled, "broken request": broken, "lost reply": lost} {
		if fault.Hits() == 0 {
			t.Errorf("there was no %s", what)
		}
	}
	if got := most.Load(); got > int64(maxPending) || got < int64(maxPending)/2 {
		t.Errorf("at most %d messages were pending, want up to %d and no more", got, maxPending)
	}
	if s := p.Stats(); s.Pending != 0 || s.PendingBytes != 0 || s.Sent+s.Failed != int64(n) {
		t.Errorf("in the end %+v", s)
	}
	if lanes, items := producer.Kept(p); lanes != 0 || items != 0 {
		t.Errorf("the producer still keeps %d groups and %d messages", lanes, items)
	}
	check(t, q, told, fifo)

	t.Logf("%s: at most %d of %d pending; %+v", name, most.Load(), maxPending, p.Stats())
}

// send sends the next messages of a sender, one by one or as a batch in two groups.
func send(p *producer.Producer, sender, from int, batch bool) []outcome {
	tell := func(r producer.Result) outcome {
		return outcome{sent: r.Err == nil, doubt: errors.Is(r.Err, producer.ErrUnconfirmed), id: r.MessageID}
	}
	message := func(i int) producer.Message {
		return producer.Message{Body: fmt.Sprintf("%d:%d", sender, i), GroupID: fmt.Sprintf("%d.%d", sender, i%2)}
	}
	if !batch {
		return []outcome{tell(producer.Result{Err: p.Send(context.Background(), message(from))})}
	}
	msgs := make([]producer.Message, perBatch)
	for i := range msgs {
		msgs[i] = message(from + i)
	}
	results, _ := p.SendBatch(context.Background(), msgs)
	list := make([]outcome, perBatch)
	for i, r := range results {
		list[i] = tell(r)
	}
	return list
}

// check holds what senders were told against what is on the queue.
func check(t *testing.T, q *sqstest.Queue, told [][]outcome, fifo bool) {
	t.Helper()
	times := make([][]uint8, len(told))
	last := make(map[string]int) // place of the last message of a group
	for s := range told {
		times[s] = make([]uint8, len(told[s]))
	}
	problems := 0
	problem := func(format string, args ...any) {
		if problems++; problems <= 10 {
			t.Errorf(format, args...)
		}
	}
	for _, m := range q.Messages() {
		sender, place, _ := strings.Cut(m.Body, ":")
		s, err := strconv.Atoi(sender)
		i, err2 := strconv.Atoi(place)
		if err != nil || err2 != nil {
			t.Fatalf("body %q", m.Body)
		}
		times[s][i]++
		if !fifo {
			continue
		}
		if before, ok := last[m.Group]; ok && i <= before {
			problem("in group %s message %d came behind %d", m.Group, i, before)
		}
		last[m.Group] = i
		if o := told[s][i]; o.sent && o.id != m.ID {
			problem("message %s has id %s, its sender was told %s", m.Body, m.ID, o.id)
		}
	}
	var sent, doubt, twice int
	for s := range told {
		for i, o := range told[s] {
			switch n := times[s][i]; {
			case o.sent && n == 0, !o.sent && !o.doubt && n > 0, fifo && n > 1:
				problem("message %d of sender %d is there %d times, its sender was told %+v", i, s, n, o)
			case n > 1:
				twice++
			}
			if o.sent {
				sent++
			} else if o.doubt {
				doubt++
			}
		}
	}
	if sent == 0 || sent == len(told)*len(told[0]) || !fifo && twice == 0 {
		t.Errorf("%d sent, %d twice: want nearly all, and some twice where nothing keeps them apart", sent, twice)
	}
	t.Logf("%d sent, %d of them more than once, %d refused, %d in doubt; %d problems", sent, twice, len(told)*len(told[0])-sent-doubt, doubt, problems)
}
