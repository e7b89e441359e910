// Package conformance says what a server of SQS and SNS has to do, as a list of named cases.
//
// The cases are written from AWS's API reference, its developer guide and the models in
// the SDK, not from what a server does. They run unchanged against sqstest in the
// process (in virtual time), sqstest on a port, and LocalStack: [Test] takes any backend
// for which the SDK makes clients.
//
// Where a backend departs from what AWS documents, the departure is listed by the
// case's name, with the reason and with what the case then says. Such a case has to
// fail in just that way: one that holds after all fails the run, so that the list stays
// true. No case is weakened for a backend.
//
// A case takes at most a few seconds of real time, because the backends that are real
// have no other. What needs minutes (retention, 5 min of deduplication, 12 h of
// visibility, SNS's retries) is proven for sqstest in its own tests, in virtual time.
//
// Reading order: check.go (a case and its tools), run.go, report.go, then the cases,
// sqs_*.go and sns_*.go, and departures.go.
package conformance
