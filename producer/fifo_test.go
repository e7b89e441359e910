package producer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/producer"
	"github.com/holdfast-go/holdfast/sqstest"
)

// inGroups makes n messages, the i-th with body "group:place" in group i % groups.
func inGroups(n, groups int) []producer.Message {
	msgs := make([]producer.Message, n)
	for i := range msgs {
		group := fmt.Sprintf("g%d", i%groups)
		msgs[i] = producer.Message{Body: fmt.Sprintf("%s:%d", group, i/groups), GroupID: group}
	}
	return msgs
}

// byGroup sorts bodies by group, in the order of the queue.
func byGroup(bodies []string) map[string][]string {
	groups := make(map[string][]string)
	for _, b := range bodies {
		group, place, _ := strings.Cut(b, ":")
		groups[group] = append(groups[group], place)
	}
	return groups
}

// counted is 0 to n-1.
func counted(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

func TestGroupOrder(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(*sqstest.Server){
		"entries that fail": func(s *sqstest.Server) {
			s.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Probability(0.3, 1))
		},
		"throttling":            func(s *sqstest.Server) { s.Fail("SendMessageBatch", sqstest.Throttle, sqstest.Probability(0.3, 2)) },
		"replies that are lost": func(s *sqstest.Server) { s.DropReply("SendMessageBatch", sqstest.Probability(0.3, 3)) },
		"requests of all lengths": func(s *sqstest.Server) {
			s.Delay("SendMessageBatch", 90*time.Millisecond, sqstest.Probability(0.5, 4))
			s.Delay("SendMessageBatch", 50*time.Millisecond, sqstest.OnReply(), sqstest.Probability(0.5, 5))
		},
	} {
		t.Run("is kept through "+name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t)
				q := srv.Queue(t, "orders.fifo")
				inject(srv)
				p := to(t, srv, q, producer.Config{Timeout: 4 * time.Minute})
				results, err := p.SendBatch(t.Context(), inGroups(300, 12))
				if err != nil {
					t.Fatal(err)
				}
				for group, places := range byGroup(bodies(q)) {
					if diff := cmp.Diff(counted(25), places); diff != "" {
						t.Errorf("group %s (-want +got):\n%s", group, diff)
					}
				}
				last := make(map[string]string)
				for i, r := range results {
					group := fmt.Sprint(i % 12)
					if len(r.SequenceNumber) < len(last[group]) || r.SequenceNumber <= last[group] {
						t.Errorf("message %d has sequence number %s, its predecessor %s", i, r.SequenceNumber, last[group])
					}
					last[group] = r.SequenceNumber
				}
			})
		})
	}
	t.Run("holds back a group behind a message that is tried again, and no other", groupHeldBack)
	t.Run("goes on behind a message that is refused, or whose sender has gone", groupGoesOn)
	t.Run("goes on whoever of its senders go", anyMayGo)
	t.Run("is kept to a topic and through it", topicOrder)
	t.Run("has one message of a group in a request", onePerGroup)
}

func groupHeldBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo")
		p := to(t, srv, q, producer.Config{})
		srv.FailEntries("SendMessageBatch", "InternalError", false, sqstest.Times(1))
		var mu sync.Mutex
		var order []string
		send := func(body, group string) {
			if err := p.Send(context.Background(), producer.Message{Body: body, GroupID: group}); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, body)
		}
		var wg sync.WaitGroup
		wg.Go(func() { send("a0", "a") })
		time.Sleep(6 * time.Millisecond) // it failed, and rests for 25 ms at least
		wg.Go(func() { send("a1", "a") })
		wg.Go(func() {
			for range 3 {
				send("b", "b")
			}
		})
		wg.Wait()
		if diff := cmp.Diff([]string{"b", "b", "b", "a0", "a1"}, order); diff != "" {
			t.Errorf("results came (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(order, bodies(q)); diff != "" {
			t.Errorf("on the queue (-result +got):\n%s", diff)
		}
	})
}

func groupGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo")
		p := to(t, srv, q, producer.Config{})
		srv.FailEntries("SendMessageBatch", "InvalidMessageContents", true, sqstest.After(1), sqstest.Times(1))
		results, err := p.SendBatch(t.Context(), inGroups(4, 1))
		if failed := (*producer.BatchError)(nil); !errors.As(err, &failed) || failed.Failed != 1 || results[1].Err == nil {
			t.Errorf("results %+v, %v", results, err)
		}
		if diff := cmp.Diff([]string{"g0:0", "g0:2", "g0:3"}, bodies(q)); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}

		// The first rests, the second and the third wait behind it. The senders of the
		// first two go.
		fault := srv.Fail("SendMessageBatch", sqstest.Throttle)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if i == 2 {
					if err := p.Send(context.WithoutCancel(ctx), producer.Message{Body: "stays", GroupID: "h"}); err != nil {
						t.Errorf("the one that stays: %v", err)
					}
					return
				}
				if err := p.Send(ctx, producer.Message{Body: "goes", GroupID: "h"}); !errors.Is(err, context.Canceled) || errors.Is(err, producer.ErrUnconfirmed) {
					t.Errorf("one that goes: %v", err)
				}
			})
			time.Sleep(6 * time.Millisecond)
		}
		cancel()
		synctest.Wait()
		fault.Stop()
		wg.Wait()
		if got := bodies(q); len(got) != 4 || got[3] != "stays" {
			t.Errorf("bodies are %v", got)
		}
	})
}

// Of those that wait in their lanes some give up, first, last or in the middle.
func anyMayGo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo")
		p := to(t, srv, q, producer.Config{})
		fault := srv.Fail("SendMessageBatch", sqstest.Throttle)
		random := rand.New(rand.NewPCG(1, 2))
		var wg sync.WaitGroup
		var cancels []context.CancelFunc
		want := make(map[string][]string)
		for i, m := range inGroups(200, 5) {
			ctx := t.Context()
			goes := random.IntN(3) > 0 || i < 5 || i > 190
			if goes {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				cancels = append(cancels, cancel)
			} else {
				want[m.GroupID] = append(want[m.GroupID], strings.TrimPrefix(m.Body, m.GroupID+":"))
			}
			wg.Go(func() {
				if err := p.Send(ctx, m); (err != nil) != goes || goes && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", m.Body, err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(100 * time.Millisecond)
		random.Shuffle(len(cancels), func(i, j int) { cancels[i], cancels[j] = cancels[j], cancels[i] })
		for _, cancel := range cancels {
			cancel()
			synctest.Wait()
		}
		for i := range 5 { // and others come
			m := producer.Message{Body: fmt.Sprintf("g%d:more", i), GroupID: fmt.Sprintf("g%d", i)}
			want[m.GroupID] = append(want[m.GroupID], "more")
			wg.Go(func() {
				if err := p.Send(t.Context(), m); err != nil {
					t.Errorf("%s: %v", m.Body, err)
				}
			})
		}
		synctest.Wait()
		fault.Stop()
		wg.Wait()
		if diff := cmp.Diff(want, byGroup(bodies(q))); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
		synctest.Wait()
		if lanes, items := producer.Kept(p); lanes != 0 || items != 0 {
			t.Errorf("%d groups and %d messages are kept", lanes, items)
		}
	})
}

func topicOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		topic, q := srv.Topic(t, "orders.fifo"), srv.Queue(t, "billing.fifo")
		topic.Subscribe(t, q, sqstest.Raw())
		srv.FailEntries("PublishBatch", "InternalError", false, sqstest.Probability(0.3, 1))
		srv.Fail("PublishBatch", sqstest.Throttle, sqstest.Probability(0.2, 2))
		srv.DropReply("PublishBatch", sqstest.Probability(0.2, 3))
		p := toTopic(t, srv, topic)
		if _, err := p.SendBatch(t.Context(), inGroups(120, 6)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for group, places := range byGroup(bodies(q)) {
			if diff := cmp.Diff(counted(20), places); diff != "" {
				t.Errorf("group %s (-want +got):\n%s", group, diff)
			}
		}
	})
}

func onePerGroup(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t)
		q := srv.Queue(t, "orders.fifo")
		var mu sync.Mutex
		var sizes []int
		p := to(t, srv, q, producer.Config{Hooks: producer.Hooks{Called: func(e producer.CalledEvent) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, e.Messages)
		}}})
		if _, err := p.SendBatch(t.Context(), inGroups(9, 3)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{3, 3, 3}, sizes); diff != "" {
			t.Errorf("messages per request (-want +got):\n%s", diff)
		}
	})
}

func TestDeduplicationIDs(t *testing.T) {
	t.Parallel()
	t.Run("are made once per message, so that a try after a lost reply changes nothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			srv.DropReply("SendMessageBatch", sqstest.Times(5))
			p := to(t, srv, q, producer.Config{})
			results, err := p.SendBatch(t.Context(), []producer.Message{{Body: "same", GroupID: "g"}, {Body: "same", GroupID: "h"}})
			if err != nil || results[0].MessageID == results[1].MessageID {
				t.Errorf("results %+v, %v", results, err)
			}
			msgs := q.Messages()
			if len(msgs) != 2 || msgs[0].Dedup == msgs[1].Dedup || msgs[0].Dedup == "" {
				t.Errorf("on the queue is %+v, want two with ids of their own though their bodies are the same", msgs)
			}
		})
	})
	t.Run("are made of the key where there is one, and left where they are given", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			p := to(t, srv, q, producer.Config{})
			for _, m := range []producer.Message{
				{Body: "1", GroupID: "g", Key: "k"}, {Body: "2", GroupID: "h", Key: "k"}, {Body: "3", GroupID: "g", Key: strings.Repeat("ü", 500)},
				{Body: "4", GroupID: "g", Key: "k", DeduplicationID: "given"},
			} {
				if err := p.Send(t.Context(), m); err != nil {
					t.Errorf("%s: %v", m.Body, err)
				}
			}
			msgs := q.Messages()
			if diff := cmp.Diff([]string{"1", "3", "4"}, bodies(q)); diff != "" || msgs[2].Dedup != "given" {
				t.Errorf("bodies (-want +got):\n%s and the id given is %q", diff, msgs[2].Dedup)
			}
		})
	})
	t.Run("are not sent again after 5 minutes, when they are forgotten", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			srv := sqstest.New(t)
			q := srv.Queue(t, "orders.fifo")
			p := to(t, srv, q, producer.Config{Timeout: 4 * time.Minute})
			srv.DropReply("SendMessageBatch")
			began := time.Now()
			if err := p.Send(t.Context(), producer.Message{Body: "x", GroupID: "g"}); !errors.Is(err, producer.ErrUnconfirmed) {
				t.Errorf("error %v", err)
			}
			time.Sleep(time.Hour)
			log := srv.Log()
			if last := log[len(log)-1]; last.At.Sub(began) > 4*time.Minute || len(bodies(q)) != 1 {
				t.Errorf("the last try came after %v, on the queue are %d", last.At.Sub(began), len(bodies(q)))
			}
		})
	})
}
