package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/producer"
)

// What the queues are called, without the suffix of a run.
const (
	billing  = "billing"
	shipping = "shipping"
	audit    = "audit"
)

// attrQuantity is the message attribute by which shipping takes its share: orders of
// two and more.
const (
	attrQuantity = "quantity"
	shipsFrom    = 2
)

// shopTopology is the whole wiring. The names get the suffix of the run.
func shopTopology(suffix, region, account string) fanout.Topology {
	return fanout.Topology{
		Name: "shop", Region: region, Account: account,
		Topics: []fanout.Topic{{Name: "orders" + suffix, Carries: []string{producer.KeyAttribute, attrQuantity}}},
		Queues: []fanout.Queue{
			// An order that fails five times is looked at by people.
			{Name: billing + suffix, DLQ: fanout.DeadLetter{MaxReceives: 5}},
			{Name: shipping + suffix},
			{Name: audit + suffix, Retention: 7 * 24 * time.Hour},
		},
		Subscriptions: []fanout.Subscription{
			{Topic: "orders" + suffix, Queue: billing + suffix},
			{Topic: "orders" + suffix, Queue: shipping + suffix, Filter: fanout.Where(attrQuantity, fanout.AtLeast(shipsFrom))},
			{Topic: "orders" + suffix, Queue: audit + suffix, Raw: true},
		},
	}
}

// brief is a plan without the details of what is made.
func brief(d *fanout.Diff) string {
	var b strings.Builder
	for _, c := range d.Changes {
		if c.Kind == fanout.Create {
			c.To = ""
		}
		fmt.Fprintf(&b, "  %s\n", c)
	}
	return b.String()
}
