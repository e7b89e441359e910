package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/producer"
)

// order is the message that the workers are for.
type order struct {
	ID       string `json:"id"`
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Cents    int64  `json:"cents"`
	Trouble  string `json:"trouble,omitempty"`
}

// line is one line of the input, which is published as it is.
type line struct {
	body  string
	order *order // nil where the body is no order
}

func parse(body string) line {
	var o order
	if json.Unmarshal([]byte(body), &o) != nil || o.ID == "" {
		return line{body: body}
	}
	return line{body: body, order: &o}
}

// refOf names what a body is about: the order, or where it is none the body.
func refOf(body string) string {
	if l := parse(body); l.order != nil {
		return l.order.ID
	}
	return body
}

// readInput reads the file of orders; by default that of examples/orders, as seen from
// the module's root or from here.
func readInput(name string) ([]line, error) {
	names := []string{name}
	if name == "" {
		names = []string{"examples/orders/orders.jsonl", "../orders/orders.jsonl"}
	}
	var f *os.File
	var err error
	for _, name := range names {
		if f, err = os.Open(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: run it from the module's root, or name a file with -input", err)
	}
	defer f.Close()
	return readLines(f)
}

// maxLine is what a line may have: a topic takes messages of 256 KiB unless it is told
// otherwise, and 1 KiB is kept for the attributes.
const maxLine = 256<<10 - 1<<10

// readLines reads orders as JSON lines. Blank lines are skipped; one that the topic would
// not take is an error that names it.
func readLines(r io.Reader) ([]line, error) {
	var lines []line
	number := 0
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine+2) // a line and its end
	for s.Scan() {
		number++
		if len(s.Bytes()) > maxLine {
			return nil, tooLong(number)
		}
		if s.Text() != "" {
			lines = append(lines, parse(s.Text()))
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, tooLong(number + 1)
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	case len(lines) == 0:
		return nil, errors.New("no orders in the file")
	}
	return lines, nil
}

func tooLong(number int) error {
	return fmt.Errorf("line %d: longer than %d bytes", number, maxLine)
}

// publisher publishes all lines, and ends the program when every queue is drained.
type publisher struct {
	client  *sns.Client
	topic   string
	lines   []line
	books   []*book
	timeout time.Duration
}

// Run implements holdfast.Runner.
func (p *publisher) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, fmt.Errorf("the queues were not drained within %v", p.timeout))
	defer cancel()
	if err := p.publish(ctx); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	for _, b := range p.books {
		select {
		case <-b.drained:
		case <-ctx.Done():
			return fmt.Errorf("queue %s: %w", b.queue, context.Cause(ctx))
		}
	}
	return nil
}

// publish sends all lines through a producer, which gathers them into requests of ten
// and tries again what failed.
func (p *publisher) publish(ctx context.Context) error {
	out, err := producer.New(p.client, p.topic, producer.Config{})
	if err != nil {
		return err
	}
	messages := make([]producer.Message, len(p.lines))
	for i, l := range p.lines {
		messages[i].Body = l.body
		if l.order != nil {
			messages[i].Key = l.order.ID // the same work wherever it comes again
			messages[i].Attributes = map[string]holdfast.Attribute{attrQuantity: {Type: "Number", String: strconv.Itoa(l.order.Quantity)}}
		}
	}
	_, err = out.SendBatch(ctx, messages)
	return errors.Join(err, out.Close(ctx))
}
