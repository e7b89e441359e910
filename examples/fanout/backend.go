package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/internal/envelope"
	"github.com/holdfast-go/holdfast/internal/snsserver"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// backend is the SQS, SNS and Redis of a run, real ones or those in this process.
type backend struct {
	sqs *sqs.Client
	sns *sns.Client
	rdb *redis.Client

	where, suffix, region, account string

	config fanout.Config
	real   bool // SQS and SNS are
	made   bool // there is something to delete
	mini   *miniredis.Miniredis
}

// openBackend connects. Credentials alone change nothing, so that nobody makes queues
// in an account by accident.
func openBackend(ctx context.Context, o options, env func(string) string) (*backend, error) {
	b := &backend{account: o.account, region: sqsserver.DefaultRegion, config: fanout.Config{PolicySpread: -1, CallsPerSecond: 1000}}
	b.real = o.aws || env("AWS_ENDPOINT_URL") != ""
	if err := b.openRedis(ctx, env("REDIS_URL")); err != nil {
		return nil, err
	}
	if b.real || b.mini == nil {
		b.suffix = "-" + strings.ToLower(rand.Text()[:10])
	}
	if !b.real {
		b.embed()
		return b, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("AWS configuration: no region; set AWS_REGION")
	}
	b.sqs, b.sns, b.region = sqs.NewFromConfig(cfg), sns.NewFromConfig(cfg), cfg.Region
	endpoint := env("AWS_ENDPOINT_URL")
	if endpoint == "" {
		endpoint, b.config = "AWS "+cfg.Region, fanout.Config{} // policies take their time, and calls have quotas
	}
	b.where = "SQS and SNS at " + endpoint + ", " + b.where
	return b, nil
}

// embed starts an SQS and an SNS in this process. No port is opened.
func (b *backend) embed() {
	b.where = "SQS and SNS in this process, " + b.where
	inner := sqsserver.New(sqsserver.Config{NoHistory: true, LogLimit: -1})
	topics := snsserver.New(snsserver.Config{LogLimit: -1}, queues{inner})
	client := func(t http.RoundTripper) *http.Client { return &http.Client{Transport: t} }
	login := credentials.NewStaticCredentialsProvider("demo", "demo", "")
	b.sqs = sqs.New(sqs.Options{Region: b.region, BaseEndpoint: aws.String("http://sqs.invalid"), HTTPClient: client(inner.Transport()), Credentials: login})
	b.sns = sns.New(sns.Options{Region: b.region, BaseEndpoint: aws.String("http://sns.invalid"), HTTPClient: client(topics.Transport()), Credentials: login})
}

// queues is the embedded SQS as the embedded SNS sees it.
type queues struct{ server *sqsserver.Server }

func (q queues) Policy(queueARN string) (string, bool) { return q.server.Policy(queueARN) }

func (q queues) Send(queueARN string, m snsserver.QueueMessage) error {
	out := sqsserver.Outgoing{Body: m.Body, Group: m.Group, Dedup: m.Dedup, TraceHeader: m.TraceHeader, Sender: m.Sender, Attributes: map[string]sqsserver.Attribute{}}
	for name, a := range m.Attributes {
		out.Attributes[name] = sqsserver.Attribute(a)
	}
	_, err := q.server.Send(queueARN, out)
	var refused *sqsserver.Error
	if errors.As(err, &refused) && !refused.Receiver {
		return &snsserver.RefusedError{Code: refused.Code, Message: refused.Message}
	}
	return err
}

// openRedis connects to Redis or, where url is empty, starts one in this process.
func (b *backend) openRedis(ctx context.Context, url string) error {
	opts := &redis.Options{}
	b.where = "Redis in this process"
	if url == "" {
		b.mini = miniredis.NewMiniRedis()
		// The address is never dialled, but a name in it would be looked up.
		opts.Addr = "127.0.0.1:6379"
		opts.Dialer = func(context.Context, string, string) (net.Conn, error) { return b.mini.Dial() }
	} else {
		parsed, err := redis.ParseURL(url)
		if err != nil {
			return fmt.Errorf("REDIS_URL: %w", err)
		}
		opts, b.where = parsed, "Redis at "+parsed.Addr
	}
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout = time.Second, time.Second, time.Second
	opts.MaxRetries, opts.ContextTimeoutEnabled = 1, true
	b.rdb = redis.NewClient(opts)
	if err := b.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("%s: %w", b.where, err)
	}
	return nil
}

func (b *backend) topicARN(t fanout.Topology) string {
	partition := "aws"
	if strings.HasPrefix(b.region, "cn-") {
		partition = "aws-cn"
	}
	return "arn:" + partition + ":sns:" + b.region + ":" + b.account + ":" + t.Topics[0].Name
}

// shut deletes what the run made on real backends, also when ctx is cancelled.
func (b *backend) shut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	if b.real && b.made {
		errs = append(errs, b.deleteAll(ctx))
	}
	if b.mini == nil {
		errs = append(errs, b.forget(ctx))
	}
	errs = append(errs, b.rdb.Close())
	if b.mini != nil {
		b.mini.Close()
	}
	return errors.Join(errs...)
}

// deleteAll names everything that the topology made and applies an empty one.
func (b *backend) deleteAll(ctx context.Context) error {
	made := shopTopology(b.suffix, b.region, b.account)
	cfg := b.config
	cfg.PruneMessages = true
	cfg.Prune = []string{b.topicARN(made)}
	topic := made.Topics[0].Name
	for _, q := range made.Queues {
		arn := strings.Replace(strings.TrimSuffix(b.topicARN(made), topic), ":sns:", ":sqs:", 1) + q.Name
		cfg.Prune = append(cfg.Prune, arn, arn+"-dlq", arn+"-"+topic+"-undelivered")
	}
	empty := fanout.Topology{Name: made.Name, Region: b.region, Account: b.account}
	_, err := fanout.Apply(ctx, fanout.Clients{SQS: b.sqs, SNS: b.sns}, empty, cfg)
	return err
}

// forget deletes the records of this run from Redis.
func (b *backend) forget(ctx context.Context) error {
	keys := b.rdb.Scan(ctx, 0, "hf:*"+b.suffix+":*", 1000).Iterator()
	for keys.Next(ctx) {
		if err := b.rdb.Unlink(ctx, keys.Val()).Err(); err != nil {
			return fmt.Errorf("deleting the records of this run: %w", err)
		}
	}
	return keys.Err()
}

// deadLetter is a message found in a dead-letter queue, and why it is there.
type deadLetter struct{ body, cause string }

// readDeadLetters reads a dead-letter queue until a long poll comes back empty twice.
func readDeadLetters(ctx context.Context, b *backend, queue string) (found []deadLetter, err error) {
	url, err := b.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", queue, err)
	}
	seen := map[string]bool{}
	for empty := 0; empty < 2; {
		out, err := b.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 600,
			MessageAttributeNames: []string{consumer.CauseAttribute},
		})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", queue, err)
		}
		empty++
		for _, m := range out.Messages {
			if empty = 0; seen[aws.ToString(m.MessageId)] {
				continue
			}
			seen[aws.ToString(m.MessageId)] = true
			d := deadLetter{body: aws.ToString(m.Body), cause: "none"}
			if in, kind := envelope.SNS(d.body); kind == envelope.Notification {
				d.body = in.Body
			}
			var c struct{ Cause string }
			if json.Unmarshal([]byte(aws.ToString(m.MessageAttributes[consumer.CauseAttribute].StringValue)), &c) == nil && c.Cause != "" {
				d.cause = c.Cause
			}
			found = append(found, d)
		}
	}
	return found, nil
}
