package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

const (
	otherAccount = "111111111111"
	theirsARN    = "arn:aws:sns:us-east-1:111111111111:theirs"
)

// theirs makes a topic of another account whose owner subscribes a queue of ours.
func theirs(t *testing.T, srv *sqstest.Server, queue *sqstest.Queue) *sns.Client {
	t.Helper()
	n := srv.SNS(sqstest.SNSAs(otherAccount))
	if _, err := n.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("theirs")}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(theirsARN), Protocol: aws.String("sqs"), Endpoint: &queue.ARN}); err != nil {
		t.Fatal(err)
	}
	return n
}

// consume runs a consumer of billing for a while and returns what its handler saw.
func consume(t *testing.T, srv *sqstest.Server, d time.Duration, cfg consumer.Config) (seen []string) {
	t.Helper()
	got := make(chan string, 100)
	c, err := consumer.New(srv.SQS(), "billing", holdfast.HandlerFunc(func(_ context.Context, m *holdfast.Message) error {
		got <- m.Body
		return nil
	}), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
	close(got)
	for body := range got {
		seen = append(seen, body)
	}
	return seen
}

// withTheirs is a topology whose queue takes messages of a topic of another account.
func withTheirs() fanout.Topology {
	topology := small()
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: theirsARN, Queue: "billing", LetIn: true})
	return topology
}

func confirmationsIn(q *sqstest.Queue) (out []string) {
	for _, m := range q.Messages() {
		var body struct{ Type string }
		_ = json.Unmarshal([]byte(m.Body), &body)
		out = append(out, body.Type+" "+m.Attributes[consumer.CauseAttribute].Text)
	}
	return out
}

func TestConfirmations(t *testing.T) {
	t.Parallel()
	t.Run("of listed topics are confirmed, and their messages then arrive", confirmListed)
	t.Run("of other topics are dead-lettered and never reach a handler", confirmOther)
	t.Run("with a made-up token are dead-lettered", confirmForged)
	t.Run("are tried again while SNS does not answer", confirmOutage)
	t.Run("of a topic of another region are confirmed there", confirmFar)
	t.Run("of other topics of another region are dead-lettered and never reach a handler", confirmFarOther)
	t.Run("are waited for by a plan of those who subscribed", confirmPlanned)
}

func confirmListed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, withTheirs(), fanout.Config{PolicySpread: -1})
		q := srv.Queue(t, "billing")
		n := theirs(t, srv, q)
		mw := []holdfast.Middleware{fanout.Confirm(srv.SNS(), "arn:aws:sns:us-east-1:000000000000:x", theirsARN)}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		if left, dead := q.Messages(), srv.Queue(t, "billing-dlq").Messages(); len(left)+len(dead) != 0 {
			t.Errorf("%d left, %d dead-lettered, want the request deleted", len(left), len(dead))
		}
		if _, err := n.Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(theirsARN), Message: aws.String("work")}); err != nil {
			t.Fatal(err)
		}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 1 || seen[0] != "work" {
			t.Errorf("a handler saw %q, want what was published", seen)
		}
	})
}

func confirmOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, withTheirs(), fanout.Config{PolicySpread: -1})
		theirs(t, srv, srv.Queue(t, "billing"))
		mw := []holdfast.Middleware{fanout.Confirm(srv.SNS(), ordersARN)}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		dead := confirmationsIn(srv.Queue(t, "billing-dlq"))
		if len(dead) != 1 || !strings.Contains(dead[0], `"cause":"subscription-confirmation"`) || srv.Calls("ConfirmSubscription") != 0 {
			t.Errorf("dead-lettered %q, %d calls", dead, srv.Calls("ConfirmSubscription"))
		}
	})
}

func confirmForged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, small(), fanout.Config{PolicySpread: -1})
		srv.Queue(t, "billing").Send(t, fmt.Sprintf(`{"Type":"SubscriptionConfirmation","MessageId":"1","TopicArn":%q,"Message":"x","Token":"made up","SubscribeURL":"http://169.254.169.254/"}`, ordersARN))
		mw := []holdfast.Middleware{fanout.Confirm(srv.SNS(), ordersARN)}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		dead := confirmationsIn(srv.Queue(t, "billing-dlq"))
		if len(dead) != 1 || !strings.Contains(dead[0], `"cause":"subscription-confirmation"`) || !strings.Contains(dead[0], "does not take the token") {
			t.Errorf("dead-lettered %q", dead)
		}
	})
}

func confirmOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		apply(t, srv, withTheirs(), fanout.Config{PolicySpread: -1})
		theirs(t, srv, srv.Queue(t, "billing"))
		down := srv.Fail("ConfirmSubscription", sqstest.Internal500, sqstest.Times(5))
		mw := []holdfast.Middleware{fanout.Confirm(srv.SNS(), theirsARN)}
		consume(t, srv, 5*time.Minute, consumer.Config{Middleware: mw})
		if left, dead := srv.Queue(t, "billing").Messages(), srv.Queue(t, "billing-dlq").Messages(); down.Hits() != 5 || len(left)+len(dead) != 0 {
			t.Errorf("%d failures, %d left, %d dead-lettered", down.Hits(), len(left), len(dead))
		}
	})
}

// theirsFar is a topic of another account and of another region than the queue's.
const theirsFar = "arn:aws:sns:eu-west-1:111111111111:theirs"

// subscribedFromAfar is a server where the owner of that topic has subscribed a queue of
// ours, which lets it in.
func subscribedFromAfar(t *testing.T) (srv *sqstest.Server, theirs *sns.Client) {
	t.Helper()
	srv = sqstest.New(t, sqstest.NoSignature())
	topology := small()
	topology.Subscriptions = append(topology.Subscriptions, fanout.Subscription{Topic: theirsFar, Queue: "billing", LetIn: true})
	apply(t, srv, topology, fanout.Config{PolicySpread: -1})
	return srv, theirsFromAfar(t, srv)
}

func theirsFromAfar(t *testing.T, srv *sqstest.Server) (theirs *sns.Client) {
	t.Helper()
	theirs = srv.SNS(sqstest.SNSAs(otherAccount), func(o *sns.Options) { o.Region = "eu-west-1" })
	if _, err := theirs.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("theirs")}); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: aws.String(theirsFar), Protocol: aws.String("sqs"), Endpoint: aws.String(billingARN)}); err != nil {
		t.Fatal(err)
	}
	return theirs
}

func confirmFar(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, theirs := subscribedFromAfar(t)
		// The client is of the queue's region, us-east-1.
		mw := []holdfast.Middleware{fanout.Confirm(srv.SNS(), theirsFar)}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		if left, dead := srv.Queue(t, "billing").Messages(), srv.Queue(t, "billing-dlq").Messages(); len(left)+len(dead) != 0 {
			t.Errorf("%d left, %d dead-lettered, want the request deleted", len(left), len(dead))
		}
		if _, err := theirs.Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(theirsFar), Message: aws.String("work")}); err != nil {
			t.Fatal(err)
		}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 1 || seen[0] != "work" {
			t.Errorf("a handler saw %q, want what was published", seen)
		}
	})
}

func confirmFarOther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv, _ := subscribedFromAfar(t)
		// The name is listed, of another region.
		mw := []holdfast.Middleware{fanout.Confirm(srv.SNS(), theirsARN)}
		if seen := consume(t, srv, time.Minute, consumer.Config{Middleware: mw}); len(seen) != 0 {
			t.Errorf("a handler saw %q", seen)
		}
		dead := confirmationsIn(srv.Queue(t, "billing-dlq"))
		if len(dead) != 1 || !strings.Contains(dead[0], `"cause":"subscription-confirmation"`) || srv.Calls("ConfirmSubscription") != 0 {
			t.Errorf("dead-lettered %q, %d calls", dead, srv.Calls("ConfirmSubscription"))
		}
	})
}

func confirmPlanned(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		topology := fanout.Topology{
			Region: sqstest.Region, Account: sqstest.Account, Topics: []fanout.Topic{{Name: "orders"}},
			Subscriptions: []fanout.Subscription{{Topic: "orders", Queue: "arn:aws:sqs:us-east-1:111111111111:theirs", DLQ: fanout.Undelivered{Off: true}}},
		}
		apply(t, srv, topology, fanout.Config{PolicySpread: -1})
		d := plan(t, srv, topology, fanout.Config{})
		want := "waiting subscription orders -> theirs; the owner of arn:aws:sqs:us-east-1:111111111111:theirs has not confirmed it"
		if got := lines(d); len(got) != 1 || got[0] != want || !d.Empty() {
			t.Errorf("plan %q, want %q", got, want)
		}
	})
}

func TestConfirmValidates(t *testing.T) {
	t.Parallel()
	_, err := consumer.New(sqstest.New(t).SQS(), "q", holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { return nil }),
		consumer.Config{Middleware: []holdfast.Middleware{fanout.Confirm(nil, "orders")}})
	var bad *fanout.ConfigError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "fanout: client is <nil>; it must be a client") || !strings.Contains(err.Error(), `fanout: topics[0] is "orders"; it must be the ARN of a topic`) {
		t.Errorf("%v", err)
	}
	if err := fanout.Confirm(sqstest.New(t).SNS()).Validate(); err == nil || err.Error() != `fanout: topics is ""; it must be at least one topic` {
		t.Errorf("%v", err)
	}
}
