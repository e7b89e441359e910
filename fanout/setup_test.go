package fanout_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// inBubble runs a test in virtual time. synctest itself fails a test that leaves a
// goroutine behind.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// clientsOf are clients without the SDK's own retries.
func clientsOf(srv *sqstest.Server) fanout.Clients {
	return fanout.Clients{
		SQS: srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 }),
		SNS: srv.SNS(func(o *sns.Options) { o.RetryMaxAttempts = 1 }),
	}
}

// shop is a topology with a topic and three queues.
func shop() fanout.Topology {
	return fanout.Topology{
		Name: "shop", Region: sqstest.Region, Account: sqstest.Account,
		Topics: []fanout.Topic{{Name: "orders"}},
		Queues: []fanout.Queue{{Name: "billing"}, {Name: "shipping"}, {Name: "audit"}},
		Subscriptions: []fanout.Subscription{
			{Topic: "orders", Queue: "billing"},
			{Topic: "orders", Queue: "shipping", Filter: fanout.Where("kind", fanout.Is("goods"))},
			{Topic: "orders", Queue: "audit", Raw: true},
		},
	}
}

func apply(t *testing.T, srv *sqstest.Server, topology fanout.Topology, cfg fanout.Config) *fanout.Diff {
	t.Helper()
	d, err := fanout.Apply(context.Background(), clientsOf(srv), topology, cfg)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return d
}

func plan(t *testing.T, srv *sqstest.Server, topology fanout.Topology, cfg fanout.Config) *fanout.Diff {
	t.Helper()
	d, err := fanout.Plan(context.Background(), clientsOf(srv), topology, cfg)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return d
}
