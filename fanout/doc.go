// Package fanout wires SNS topics to SQS queues, and finds out where messages do not
// get through.
//
// A Topology says what there shall be. Plan tells how what is there differs, Apply
// makes it so in an order that drops no message, Verify sends a probe through every
// subscription:
//
//	topology := fanout.Topology{
//		Region: "eu-central-1", Account: "123456789012",
//		Topics: []fanout.Topic{{Name: "orders"}},
//		Queues: []fanout.Queue{{Name: "billing"}, {Name: "shipping"}},
//		Subscriptions: []fanout.Subscription{
//			{Topic: "orders", Queue: "billing"},
//			{Topic: "orders", Queue: "shipping", Filter: fanout.Where("kind", fanout.Is("goods"))},
//		},
//	}
//	diff, err := fanout.Apply(ctx, fanout.Clients{SQS: sqsClient, SNS: snsClient}, topology, fanout.Config{})
//
// Every queue gets a dead-letter queue that keeps messages for 14 days, and every
// subscription one for what SNS cannot deliver. Messages are encrypted at rest. A
// queue's policy lets in the topics that are declared, by their ARN and account, and
// no one else; what others wrote in it stays, byte for byte. Nothing is deleted unless
// Config.Prune names it.
//
// Those who do not let a program create things print what it would need:
// PlanPermissions, ApplyPermissions, ConsumePermissions and ProducePermissions are
// IAM policies, CloudFormation is the whole topology as a template, and
// Config.ExistingOnly creates nothing.
//
// docs/fanout.md tells how fanning out goes wrong, and what this package does about
// each.
//
// Reading order: topology.go (what is declared), filter.go, validate.go; desired.go
// (the same in the terms of the APIs), statement.go; observe.go (what there is),
// calls.go (how it is asked), plan.go and steps.go (the difference), apply.go;
// permissions.go, cloudformation.go; confirm.go; verify.go, probe.go.
package fanout
