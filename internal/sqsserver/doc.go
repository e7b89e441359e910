// Package sqsserver is Amazon SQS inside one process: the state, the rules and
// the AWS JSON 1.0 protocol, on the standard library alone.
//
// It exists for tests, so it is strict where Amazon is lenient by luck. What
// AWS documents as "might" happens here whenever a test can provoke it: a stale
// receipt handle deletes nothing, a lapsed one on a FIFO queue is an error, and
// a request for more than what is left of the twelve hours is refused.
//
// All state is under one mutex (Server.mu) and all time comes from package
// time, so a Server that is used inside a testing/synctest bubble lives in the
// bubble's virtual time. There are no background goroutines. What is due
// (visibility that ends, delays, retention) is done when a call next looks at
// the queue; only while a long poll waits, or a move task with a rate runs, does
// a queue hold a timer.
//
// Reading order, the way of a request:
//
//   - server.go: Server, Config, the queues and the lock
//   - http.go and client.go: the two ways in (a port, an in-process client)
//   - dispatch.go: from the action's name to its function; identity.go, faults.go
//     and calllog.go stand on that way
//   - queue.go: a queue's life cycle of a message (message.go), with schedule.go
//     and ages.go for what is due; shelf.go and fifo.go say which message is next on
//     a standard and on a FIFO queue; poll.go parks long polls; history.go remembers
//     for tests
//   - op_*.go: one file per operation or family, each with its wire form; batch.go
//     and jsonwriter.go write results, jsonreader.go reads the hot requests
//   - move.go: redrives from dead-letter queues; access.go and policy.go: who may do what
//   - attributes.go, messageattributes.go, systemattributes.go, redrive.go, receipt.go,
//     attempts.go, memory.go, digest.go, validate.go, errors.go: the rules these share
//   - view.go and deliver.go: the way in for tests and for SNS, without HTTP
package sqsserver
