package redisstore

import "github.com/holdfast-go/holdfast/idempotency"

// ReadReply reads a reply of a class, a number and a duration.
func ReadReply(reply, allowed string) (idempotency.Class, int64, error) {
	f := &fields{left: reply}
	class, n := f.class(allowed), f.number()
	return class, n, f.err
}

// ClaimScript and CompleteScript are for measuring what they cost without a Store.
func ClaimScript() string    { return claimScript.source }
func CompleteScript() string { return completeScript.source }
