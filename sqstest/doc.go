// Package sqstest is Amazon SQS for tests: in the test's process, in virtual
// time, with faults on demand.
//
// The real SDK client talks to it, through an HTTP client that never leaves the
// process:
//
//	srv := sqstest.New(t)
//	orders := srv.Queue(t, "orders", sqstest.DLQ(3))
//	orders.Send(t, `{"id": 1}`)
//	client := srv.SQS() // a *sqs.Client
//
// Topics deliver to queues, with envelopes, filter policies and access policies as
// on AWS; where a message does not arrive, Why tells why:
//
//	events := srv.Topic(t, "events")
//	events.Subscribe(t, orders, sqstest.Filter(`{"kind": ["order"]}`))
//	id := events.Publish(t, `{"id": 2}`, sqstest.StringAttribute("kind", "refund"))
//	t.Log(events.Why(id, orders)) // filtered: ...
//
// The server follows what AWS documents, also where that hurts: receipt handles
// go stale, messages come twice, twelve hours is the end of every hold. It has no
// goroutines of its own and takes its time from package time, so inside a
// testing/synctest bubble a 20 s long poll, 12 h of visibility or 14 days of
// retention pass at once. A server may be made inside or outside the bubble.
//
// The SDK's client retries failed calls by itself, with backoff. A test of what
// one failed call does sets RetryMaxAttempts to 1:
//
//	client := srv.SQS(func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
//
// Reading order: sqstest.go (the server and its clients), queue.go (make queues
// and send), view.go (look inside), sns.go (topics and subscriptions), delivery.go
// (what became of a message), fault.go (break things), log.go (count calls). The
// servers themselves are in internal/sqsserver and internal/snsserver.
package sqstest
