package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
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
	var lines []line
	for s := bufio.NewScanner(f); s.Scan(); {
		if s.Text() != "" {
			lines = append(lines, parse(s.Text()))
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("no orders in the file")
	}
	return lines, nil
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
	const batch = 10 // of PublishBatch
	for rest := p.lines; len(rest) > 0; {
		n := min(batch, len(rest))
		if err := p.publish(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
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

// publish publishes up to ten lines. The call succeeds although entries fail.
func (p *publisher) publish(ctx context.Context, lines []line) error {
	in := &sns.PublishBatchInput{TopicArn: &p.topic}
	for i, l := range lines {
		e := types.PublishBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), Message: &lines[i].body}
		if l.order != nil {
			e.MessageAttributes = map[string]types.MessageAttributeValue{
				attrOrderID:  {DataType: aws.String("String"), StringValue: &l.order.ID},
				attrQuantity: {DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(l.order.Quantity))},
			}
		}
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, e)
	}
	out, err := p.client.PublishBatch(ctx, in)
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("publishing: %s: %s", aws.ToString(out.Failed[0].Code), aws.ToString(out.Failed[0].Message))
	}
	return nil
}
