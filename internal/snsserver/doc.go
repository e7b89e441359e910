// Package snsserver is Amazon SNS inside one process, as far as it has to do with
// queues: topics, their SQS subscriptions, and the query protocol, on the standard
// library alone.
//
// It exists for tests. What AWS documents it enforces, the access policy of a
// queue first of all: without one that lets SNS send, a message does not arrive,
// and Why tells what the policy lacks. Everything takes effect at once. When
// Publish returns, the message is in the queues or it is known why not; a new
// filter policy, which AWS takes up to 15 minutes to apply, counts for the next
// message.
//
// SQS is behind the interface Queues, so the server knows no other package. All
// state is under one mutex (Server.mu), Queues is called under it, and all time
// comes from package time, so a Server that is used inside a testing/synctest
// bubble lives in the bubble's virtual time. While no delivery waits for its next
// try there is neither a timer nor a goroutine.
//
// Not here: SMS, mobile push, email, HTTP, Lambda and Firehose endpoints, archives
// and their replay, data protection. They are refused by name.
//
// Reading order, the way of a message:
//
//   - server.go and queues.go: Server, Config, the state; what is asked of SQS
//   - http.go and client.go: the two ways in (a port, an in-process client);
//     query.go and xmlwriter.go: the protocol
//   - dispatch.go: from the action's name to its function; identity.go, authorize.go,
//     faults.go and calllog.go stand on that way
//   - op_*.go: one file per operation or family, each with its wire form; topic.go and
//     subscription.go are what they work on
//   - op_publish.go takes a message in; message.go is what it becomes
//   - deliver.go: to each queue, or why not; agenda.go: the next try
//   - filter.go reads filter policies, filtermatch.go and wildcard.go apply them;
//     jsontree.go is the JSON that both look at
//   - policy.go and condition.go: access policies
//   - envelope.go and signature.go: what a queue receives
//   - validate.go, errors.go, arn.go, ring.go: what these share
//   - view.go, journal.go and direct.go: the ways in for tests, without HTTP
package snsserver
