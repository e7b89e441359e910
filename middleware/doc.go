// Package middleware has what may be put around any handler, one concern each.
// They go into the Middleware list of a consumer's Config; the first listed is
// outermost. Recovering panics is not among them: the runtime does it for all.
//
// What the functions here return is safe for concurrent use. Each implements
// [holdfast.Validator], so the consumer's constructor reports wrong arguments.
package middleware
