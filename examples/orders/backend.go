package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/slack"
	"github.com/holdfast-go/holdfast/internal/sqsserver"
)

// maxReceives is the maxReceiveCount of the queue: on this attempt a message that
// still fails is dead-lettered.
const maxReceives = 5

// backend is the SQS and the Redis of a run, real ones or those in this process.
type backend struct {
	sqs *sqs.Client
	rdb *redis.Client
	// where says in words what they are.
	where string
	// queue is the name of the queue; it has a dead-letter queue of its own.
	queue, queueURL, deadURL string
	close                    []func(context.Context) error
}

// openBackend connects and makes the queues. What env says decides:
//
//   - SQS is real with useAWS, AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_SQS, by the
//     default configuration of the SDK. Credentials alone change nothing, so that
//     nobody makes queues in an account by accident.
//   - Redis is real with REDIS_URL.
//
// On real ones the queue's name gets a unique suffix, and shut deletes the queues
// and what the run left in Redis.
func openBackend(ctx context.Context, queue string, useAWS bool, env func(string) string) (*backend, error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	realSQS := useAWS || env("AWS_ENDPOINT_URL") != "" || env("AWS_ENDPOINT_URL_SQS") != ""
	redisURL := env("REDIS_URL")
	b := &backend{queue: queue}
	if realSQS || redisURL != "" {
		b.queue += "-" + strings.ToLower(rand.Text()[:10])
	}
	err := func() error {
		if err := b.openRedis(ctx, redisURL); err != nil {
			return err
		}
		if !realSQS {
			b.embedSQS()
		} else if err := b.openSQS(ctx); err != nil {
			return err
		}
		return b.makeQueues(ctx, realSQS)
	}()
	if err != nil {
		return nil, errors.Join(err, b.shut(ctx))
	}
	return b, nil
}

// shut undoes all that openBackend did, the last thing first, also when ctx is
// cancelled.
func (b *backend) shut(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	var errs []error
	for i := len(b.close) - 1; i >= 0; i-- {
		errs = append(errs, b.close[i](ctx))
	}
	return errors.Join(errs...)
}

func (b *backend) onClose(f func(context.Context) error) { b.close = append(b.close, f) }

// embedSQS starts an SQS in this process. No port is opened.
func (b *backend) embedSQS() {
	b.where = "SQS in this process, " + b.where
	b.sqs = sqs.New(sqs.Options{
		Region:       sqsserver.DefaultRegion,
		BaseEndpoint: aws.String("http://sqs.invalid"),
		HTTPClient:   &http.Client{Transport: sqsserver.New(sqsserver.Config{NoHistory: true}).Transport()},
		Credentials:  credentials.NewStaticCredentialsProvider("demo", "demo", ""),
	})
}

func (b *backend) openSQS(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return errors.New("AWS configuration: no region; set AWS_REGION")
	}
	b.sqs = sqs.NewFromConfig(cfg)
	endpoint := "AWS " + cfg.Region
	if e := b.sqs.Options().BaseEndpoint; e != nil {
		endpoint = *e
	}
	b.where = "SQS at " + endpoint + ", " + b.where
	return nil
}

// openRedis connects to Redis or, where url is empty, starts one in this process
// without a port.
func (b *backend) openRedis(ctx context.Context, url string) error {
	opts := &redis.Options{}
	b.where = "Redis in this process"
	if url == "" {
		mini := miniredis.NewMiniRedis()
		b.onClose(func(context.Context) error { mini.Close(); return nil })
		// The address is never dialled, but a name in it would be looked up.
		opts.Addr = "127.0.0.1:6379"
		opts.Dialer = slack.Dialer(mini.Dial)
	} else {
		parsed, err := redis.ParseURL(url)
		if err != nil {
			return fmt.Errorf("REDIS_URL: %w", err)
		}
		opts, b.where = parsed, "Redis at "+parsed.Addr
	}
	// Far below the visibility timeout; see package redisstore.
	opts.DialTimeout, opts.PoolTimeout = time.Second, time.Second
	opts.ReadTimeout, opts.WriteTimeout = 500*time.Millisecond, 500*time.Millisecond
	opts.MaxRetries, opts.ContextTimeoutEnabled = 1, true
	b.rdb = redis.NewClient(opts)
	b.onClose(func(context.Context) error { return b.rdb.Close() })
	if err := b.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("%s: %w", b.where, err)
	}
	if url != "" {
		b.onClose(b.forget)
	}
	return nil
}

// forget deletes the records of this run from Redis.
func (b *backend) forget(ctx context.Context) error {
	keys := b.rdb.Scan(ctx, 0, "hf:"+b.queue+":*", 1000).Iterator()
	for keys.Next(ctx) {
		if err := b.rdb.Unlink(ctx, keys.Val()).Err(); err != nil {
			return fmt.Errorf("deleting the records of this run: %w", err)
		}
	}
	return keys.Err()
}

// makeQueues makes the queue and its dead-letter queue.
func (b *backend) makeQueues(ctx context.Context, remove bool) error {
	create := func(name string, attributes map[string]string) (string, error) {
		out, err := b.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
		if err != nil {
			return "", fmt.Errorf("creating queue %s: %w", name, err)
		}
		if remove {
			b.onClose(func(ctx context.Context) error {
				if _, err := b.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl}); err != nil {
					return fmt.Errorf("deleting queue %s: %w", name, err)
				}
				return nil
			})
		}
		return aws.ToString(out.QueueUrl), nil
	}
	var err error
	if b.deadURL, err = create(b.queue+"-dlq", nil); err != nil {
		return err
	}
	dead, err := b.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(b.deadURL), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return fmt.Errorf("reading queue %s-dlq: %w", b.queue, err)
	}
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.Attributes["QueueArn"], maxReceives)
	if b.queueURL, err = create(b.queue, map[string]string{"RedrivePolicy": policy}); err != nil {
		return err
	}
	if remove {
		// AWS: a queue can be used a second after it was made.
		return wait(ctx, time.Second)
	}
	return nil
}
