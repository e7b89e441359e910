package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// exec makes one round trip: the scripts that the node lacks, the calls, and a WAIT
// where one of them needs it, in one pipeline and so on one connection, which is
// all that a WAIT covers. Each call's answer is in the call; waited tells whether
// enough replicas have them.
func (l *lane) exec(ctx context.Context, calls []*op, load scriptSet) (waited bool) {
	s := l.store
	cmds := make([]redis.Cmder, 0, len(calls)+4)
	for _, script := range scripts {
		if load&script.bit() != 0 {
			cmds = append(cmds, redis.NewStringCmd(ctx, "script", "load", script.source))
		}
	}
	var wait *redis.IntCmd
	durable := false
	for _, o := range calls {
		o.SetErr(nil)
		o.sends++
		// The cluster client would load a script into some node, not into the one
		// where it lacks; and a user may be forbidden to load any.
		o.inFull(l.client == nil || o.sends == maxSends)
		durable = durable || o.durable
		if o.asking {
			cmds = append(cmds, redis.NewStatusCmd(ctx, "asking"))
		}
		cmds = append(cmds, o)
	}
	var pipe redis.Pipeliner
	if l.client == nil {
		// The cluster client spreads its pipelines over connections: no WAIT.
		pipe = s.cluster.Pipeline()
	} else {
		pipe = l.client.Pipeline()
		if durable {
			d := s.opts.Durability
			wait = redis.NewIntCmd(ctx, "wait", d.Replicas, d.Timeout.Milliseconds())
			cmds = append(cmds, wait)
		}
	}
	s.stats.roundTrips.Add(1)
	if err := pipe.BatchProcess(ctx, cmds...); err != nil {
		fail(calls, err)
		return false
	}
	if _, err := pipe.Exec(ctx); err != nil && calls[0].Err() == nil && !isReply(err) {
		// A pipeline that broke says so in each of its commands; this is for hooks
		// of the client that answer for them.
		fail(calls, err)
	}
	return wait != nil && wait.Err() == nil && wait.Val() >= int64(s.opts.Durability.Replicas)
}

func fail(calls []*op, err error) {
	for _, o := range calls {
		o.SetErr(err)
	}
}
