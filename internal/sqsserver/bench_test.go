package sqsserver

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkReceive measures one round of send, receive and delete, ten messages
// each, through the protocol. It must not cost more on a deep queue, with many
// FIFO groups, or while many long polls wait elsewhere on the server.
func BenchmarkReceive(b *testing.B) {
	for _, depth := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			s := New(Config{NoHistory: true})
			fill(b, s, "q", depth, func(int) string { return "" })
			rounds(b, s, "q", func(int) string { return "" })
		})
	}
	for _, groups := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			s := New(Config{NoHistory: true})
			group := func(i int) string { return fmt.Sprint(i % groups) }
			fill(b, s, "q.fifo", 100_000, group)
			rounds(b, s, "q.fifo", group)
		})
	}
	for _, polls := range []int{1, 1_000} {
		b.Run(fmt.Sprintf("polls=%d", polls), func(b *testing.B) {
			s := New(Config{NoHistory: true})
			fill(b, s, "q", 0, nil)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			// The pollers receive what the rounds send, so that all a message costs on
			// its way to a waiting poll is in the figure.
			for range polls {
				go func() {
					for ctx.Err() == nil {
						var got struct {
							Messages []struct{ ReceiptHandle string }
						}
						post(ctx, s, "ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":10,"WaitTimeSeconds":20}`, &got)
						for _, m := range got.Messages {
							post(ctx, s, "DeleteMessage", fmt.Sprintf(`{"QueueUrl":"q","ReceiptHandle":%q}`, m.ReceiptHandle), nil)
						}
					}
				}()
			}
			b.ReportAllocs()
			for b.Loop() {
				post(ctx, s, "SendMessage", `{"QueueUrl":"q","MessageBody":"x"}`, nil)
			}
		})
	}
}

func fill(b *testing.B, s *Server, name string, n int, group func(int) string) {
	b.Helper()
	attrs := map[string]string{}
	fifo := len(name) > 5 && name[len(name)-5:] == ".fifo"
	if fifo {
		attrs["FifoQueue"] = "true"
	}
	arn, err := s.Create(name, attrs)
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		out := Outgoing{Body: "x", Group: group(i)}
		if fifo {
			out.Dedup = fmt.Sprint("fill", i)
		}
		if _, err := s.Send(arn, out); err != nil {
			b.Fatal(err)
		}
	}
}

// rounds sends ten, receives ten and deletes them, so the depth stays.
func rounds(b *testing.B, s *Server, name string, group func(int) string) {
	b.Helper()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		type entry struct {
			ID     string `json:"Id"`
			Body   string `json:"MessageBody,omitempty"`
			Group  string `json:"MessageGroupId,omitempty"`
			Dedup  string `json:"MessageDeduplicationId,omitempty"`
			Handle string `json:"ReceiptHandle,omitempty"`
		}
		batch := struct {
			QueueURL string `json:"QueueUrl"`
			Entries  []entry
		}{QueueURL: name}
		for i := range 10 {
			e := entry{ID: fmt.Sprint(i), Body: "x", Group: group(n)}
			if e.Group != "" {
				e.Dedup = fmt.Sprint("round", n)
			}
			n++
			batch.Entries = append(batch.Entries, e)
		}
		post(b.Context(), s, "SendMessageBatch", encode(b, batch), nil)
		var got struct {
			Messages []struct{ ReceiptHandle string }
		}
		post(b.Context(), s, "ReceiveMessage", `{"QueueUrl":"`+name+`","MaxNumberOfMessages":10}`, &got)
		if len(got.Messages) != 10 {
			b.Fatalf("received %d", len(got.Messages))
		}
		batch.Entries = batch.Entries[:0]
		for i, m := range got.Messages {
			batch.Entries = append(batch.Entries, entry{ID: fmt.Sprint(i), Handle: m.ReceiptHandle})
		}
		post(b.Context(), s, "DeleteMessageBatch", encode(b, batch), nil)
	}
}

func encode(b *testing.B, v any) string {
	b.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

func post(ctx context.Context, s *Server, action, body string, into any) {
	out := s.do(ctx, incoming{target: targetPrefix + action, body: []byte(body)})
	if into != nil && out.status == 200 {
		if err := json.Unmarshal(out.body, into); err != nil {
			panic(err)
		}
	}
}
