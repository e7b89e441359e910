package redisstore

import "sync/atomic"

// Stats counts what a Store did since it was made.
type Stats struct {
	// Ops counts the calls that were sent: claims, extensions, completions,
	// releases, one per key of a poll, forgets and one per master of a probe.
	Ops uint64
	// Batches counts the groups in which they went.
	Batches uint64
	// RoundTrips counts the pipelines sent: one per batch, and one more for each
	// that had calls to send again.
	RoundTrips uint64
	// Resent counts the calls that were sent to their node again, because it did
	// not know the script or the connection broke.
	Resent uint64
	// Redirected counts the calls that a node of a cluster sent elsewhere.
	Redirected uint64
	// GivenUp counts the batches whose round trip the client did not end in time.
	GivenUp uint64
}

type stats struct {
	ops, batches, roundTrips, resent, redirected, givenUp atomic.Uint64
}

// Stats returns the counts so far. They are read one by one: while calls are under
// way they need not add up.
func (s *Store) Stats() Stats {
	return Stats{
		Ops:        s.stats.ops.Load(),
		Batches:    s.stats.batches.Load(),
		RoundTrips: s.stats.roundTrips.Load(),
		Resent:     s.stats.resent.Load(),
		Redirected: s.stats.redirected.Load(),
		GivenUp:    s.stats.givenUp.Load(),
	}
}
