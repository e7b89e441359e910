package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/sqstest"
)

// TestRealOnesAreLeftAsTheyWere goes over the network, as to LocalStack.
//
//nolint:paralleltest // it sets the environment
func TestRealOnesAreLeftAsTheyWere(t *testing.T) {
	srv := sqstest.New(t)
	web := httptest.NewServer(srv.Handler())
	defer web.Close()
	mini := miniredis.RunT(t)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": web.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	env := map[string]string{"AWS_ENDPOINT_URL": web.URL, "REDIS_URL": "redis://" + mini.Addr()}
	ctx := context.Background()
	b, err := openBackend(ctx, "orders", false, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	if want := "SQS at " + web.URL + ", Redis at " + mini.Addr(); b.where != want {
		t.Errorf("where is %q, want %q", b.where, want)
	}
	if !strings.HasPrefix(b.queue, "orders-") || len(b.queue) < len("orders-")+10 {
		t.Errorf("the queue is %q, want a unique suffix", b.queue)
	}
	out, err := b.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(b.queueURL), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameRedrivePolicy},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := out.Attributes["RedrivePolicy"]; !strings.Contains(p, ":"+b.queue+`-dlq"`) || !strings.Contains(p, `"maxReceiveCount":5`) {
		t.Errorf("redrive policy is %s", p)
	}
	for _, key := range []string{"hf:" + b.queue + ":1", "hf:" + b.queue + ":2", "hf:other:1"} {
		if err := b.rdb.Set(ctx, key, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}

	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.shut(stopped); err != nil {
		t.Errorf("shut: %v", err)
	}
	if keys := mini.Keys(); len(keys) != 1 || keys[0] != "hf:other:1" {
		t.Errorf("keys left in Redis: %v", keys)
	}
	left, err := srv.SQS().ListQueues(ctx, &sqs.ListQueuesInput{})
	if err != nil || len(left.QueueUrls) != 0 {
		t.Errorf("queues left: %v, %v", left, err)
	}
}

// TestCredentialsAloneMakeNothingReal: nobody shall make queues in an account by
// accident.
func TestCredentialsAloneMakeNothingReal(t *testing.T) {
	t.Parallel()
	env := map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1", "AWS_PROFILE": "p"}
	b, err := openBackend(context.Background(), "orders", false, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	defer b.shut(context.Background())
	if b.where != "SQS in this process, Redis in this process" || b.queue != "orders" {
		t.Errorf("where is %q and the queue %q", b.where, b.queue)
	}
}

//nolint:paralleltest // it sets the environment
func TestOpenedIsShutWhenTheRestFails(t *testing.T) {
	srv := sqstest.New(t)
	web := httptest.NewServer(srv.Handler())
	defer web.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": web.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	srv.Fail("GetQueueAttributes", sqstest.AccessDenied)
	_, err := openBackend(context.Background(), "orders", true, noEnv)
	if err == nil || !strings.Contains(err.Error(), "reading queue orders-") {
		t.Errorf("got %v, want an error that names the queue", err)
	}
	left, err := srv.SQS().ListQueues(context.Background(), &sqs.ListQueuesInput{})
	if err != nil || len(left.QueueUrls) != 0 {
		t.Errorf("queues left: %v, %v", left, err)
	}
}
