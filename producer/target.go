package producer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/internal/queueref"
)

// target is what is sent to, as far as its name tells.
type target struct {
	name   string // as it was given
	topic  bool
	fifo   bool
	region string         // empty where the name tells none
	queue  holdfast.Queue // where it is one
}

// transport sends to a target in the producer's own terms.
type transport interface {
	// open finds the target and, where readLimit is set, what MaximumMessageSize is;
	// 0 where it may not be read.
	open(ctx context.Context, readLimit bool) (limit int, err error)
	// address writes to m where it goes, once the target was found.
	address(m *holdfast.Message)
	// send sends up to ten messages and puts what became of each into results. Its
	// error concerns the request as a whole.
	send(ctx context.Context, items []*item, results []Result) error
}

func (t target) kind() string {
	if t.topic {
		return "topic"
	}
	return "queue"
}

// defaultLimit is what a target takes that was not set up otherwise.
func (t target) defaultLimit() int {
	if t.topic {
		return maxPublish
	}
	return maxMessage
}

// action is what sending is to IAM.
func (t target) action() string {
	if t.topic {
		return "sns:Publish"
	}
	return "sqs:SendMessage"
}

// parseTarget takes a queue by name, URL or ARN, or a topic by ARN. The error says
// what was expected.
func parseTarget(s string) (target, error) {
	t := target{name: s}
	parts := strings.Split(s, ":")
	if len(parts) >= 3 && parts[0] == "arn" && parts[2] == "sns" {
		if len(parts) != 6 || parts[3] == "" || parts[4] == "" || !only(parts[1]+parts[3]+parts[4], "-") || !validTopic(parts[5]) {
			return t, errors.New("the ARN of an SNS topic, arn:aws:sns:region:account:name, whose name is 1 to 256 letters, digits, - and _, with .fifo at its end for a FIFO topic")
		}
		t.topic, t.region, t.fifo = true, parts[3], strings.HasSuffix(s, ".fifo")
		return t, nil
	}
	var err error
	t.queue, err = queueref.Parse(s)
	t.fifo, t.region = t.queue.FIFO, queueref.Region(t.queue)
	return t, err
}

func validTopic(name string) bool {
	base := strings.TrimSuffix(name, ".fifo")
	return base != "" && len(name) <= 256 && only(base, "-_")
}

// transport makes the transport to t on the user's client.
func (p *Producer) transport(client any) (transport, error) {
	wrong := func(want string) error {
		value := "nil"
		if !isNil(client) {
			value = fmt.Sprintf("a %T", client)
		}
		return &ConfigError{Field: "client", Value: value, Bound: want}
	}
	if p.to.topic {
		c, ok := client.(SNSAPI)
		if !ok || isNil(client) {
			return nil, wrong("an SNSAPI, such as *sns.Client, to publish to a topic")
		}
		return &topic{client: p.snsClient(c), call: p.call, arn: p.to.name, fifo: p.to.fifo}, nil
	}
	c, ok := client.(SQSAPI)
	if !ok || isNil(client) {
		return nil, wrong("an SQSAPI, such as *sqs.Client, to send to a queue")
	}
	return &queue{client: p.sqsClient(c), call: p.call, ref: p.to.queue, fifo: p.to.fifo, region: p.to.region}, nil
}

// explain makes an error that says what to do out of one that the service gave.
func (t target) explain(action string, err error) error {
	var known *AccessError
	var unsent *unsentError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &unsent) && !unsent.again:
		return &ClientError{Action: action, Err: err}
	case classify(err) == denied:
		return &AccessError{Action: action, Resource: t.name, Err: err}
	case classify(err) == missing:
		return &TargetError{Target: t.name, Region: t.region, Err: err}
	}
	return err
}

// answered puts the answer for the entry id into results.
func answered(results []Result, id string, r Result) {
	if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < len(results) {
		results[i] = r
	}
}

// errUnanswered is an entry that was named neither successful nor failed.
var errUnanswered = errors.New("the service did not answer for this message")

// entryIDs are the ids of batch entries: their places, since what the sender calls a
// message could be the same twice.
var entryIDs = func() (ids [maxBatch]*string) {
	for i := range ids {
		id := strconv.Itoa(i)
		ids[i] = &id
	}
	return ids
}()
