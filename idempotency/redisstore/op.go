package redisstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// op is one call of one script on one key, from the request to its answer. It is
// the command that goes into a pipeline: the arguments are pointers into the op, so
// that a call costs no allocation once the store is warm.
//
// Its owner is whoever asked until it is added to a lane, then the lane, and again
// whoever asked once done was received. Who stops waiting before has lost it.
type op struct {
	*redis.StringCmd
	args   []any // the command's own
	script *script
	key    string
	words  [4]string
	nums   [8]int64

	ctx  context.Context //nolint:containedctx // of whoever asked: it has ended when nobody waits any more
	done chan bool       // receives true when err is set, and may receive false before: it takes long
	err  error
	late bool // false was sent
	// hasty: whoever asked looks at its context from the start.
	hasty   bool
	durable bool // the answer counts only once replicas have it
	asking  bool // the next node takes the key only for one who asks
	sends   int8 // how often it was sent
	hops    int8 // how often it was sent elsewhere
	// stuck: a round trip that was given up may still write into the op.
	stuck bool
}

// NoRetry keeps go-redis from sending a pipeline again by itself: a repetition on
// another connection is the lane's to decide, because WAIT covers one connection
// only.
func (o *op) NoRetry() bool { return true }

// The first arguments of every call, made once.
var (
	evalsha any = "evalsha"
	eval    any = "eval"
	oneKey  any = "1"
)

func newOp(s *script) *op {
	o := &op{script: s, done: make(chan bool, 2)}
	args := make([]any, 0, 4+len(s.layout))
	args = append(args, evalsha, &s.hash, oneKey, &o.key)
	word, num := 0, 0
	for _, kind := range s.layout {
		switch kind {
		case 'w':
			args = append(args, &o.words[word])
			word++
		case 'n':
			args = append(args, &o.nums[num])
			num++
		}
	}
	// The command's own context is for hooks of the client only.
	o.args = args
	o.StringCmd = redis.NewStringCmd(context.Background(), args...)
	return o
}

// inFull has the call carry the script itself, or only its hash.
func (o *op) inFull(full bool) {
	if full {
		o.args[0], o.args[1] = eval, &o.script.source
	} else {
		o.args[0], o.args[1] = evalsha, &o.script.hash
	}
}

// ops hands out ops of each script and takes them back.
type ops struct {
	pools [scriptCount]sync.Pool
}

func (p *ops) get(s *script, key string) *op {
	o, ok := p.pools[s.index].Get().(*op)
	if !ok {
		o = newOp(s)
	}
	o.key = key
	return o
}

// put takes back an op whose answer was received.
func (p *ops) put(o *op) {
	if o.stuck {
		return
	}
	o.SetErr(nil)
	o.SetVal("")
	o.key, o.words = "", [4]string{}
	o.ctx, o.err, o.late, o.hasty = nil, nil, false, false
	o.durable, o.asking, o.sends, o.hops = false, false, 0, 0
	p.pools[o.script.index].Put(o)
}

// answer tells whoever asked.
func (o *op) answer(err error) {
	o.err = err
	o.done <- true
}

// linger tells whoever asked that the answer takes long, once.
func (o *op) linger() {
	if !o.late {
		o.late = true
		o.done <- false
	}
}

// abandoned reports whether nobody waits for the answer. Nobody leaves before it looks
// at its context.
func (o *op) abandoned() bool { return (o.late || o.hasty) && o.ctx.Err() != nil }

// wait waits for the answer of an op that was added to a lane, no longer than ctx
// lives. After false the op is lost.
//
// To wait for the end of a context costs more than all else that a call does here, and
// nearly every answer is there in a millisecond: so the end of ctx is heeded only
// once the lane says that the answer takes long, unless that is too late for ctx.
func (o *op) wait(ctx context.Context) (answered bool) {
	if !o.hasty && <-o.done {
		return true
	}
	for {
		select {
		case answered = <-o.done:
		case <-ctx.Done():
			select {
			case answered = <-o.done: // just in time
			default:
			}
			if !answered {
				return false
			}
		}
		if answered {
			return true
		}
	}
}

// failed words an error of the op.
func (o *op) failed(err error) error {
	return fmt.Errorf("redisstore: %s %q: %w", o.script.name, o.key, err)
}
