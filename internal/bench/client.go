package main

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast/internal/wholebody"
)

// concurrency is the number of handlers at once on both sides.
const concurrency = 100

// systemAttributes are those that the runtime asks for on a standard queue; the
// hand-written loop asks for the same, so that both parse the same replies.
var systemAttributes = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp,
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameMessageGroupId,
	types.MessageSystemAttributeNameAWSTraceHeader,
}

// newPlainClient makes a client as a user would: the runtime tunes its own.
func newPlainClient(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("stub", "stub", ""),
	})
}

// newClient makes the SQS client of the hand-written loop, with as many idle
// connections kept as there are calls at once, so that none is opened anew. It has
// the cure of wholebody: without it about one call in forty thousand loses its reply
// to a stub that answers at once, and a lost receive loses its messages, because the
// stub delivers nothing twice. It does not try again, so a failed call shows.
func newClient(endpoint string, options ...func(*sqs.Options)) (client *sqs.Client, done func()) {
	hc := awshttp.NewBuildableClient().WithTransportOptions(tune)
	client = sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("stub", "stub", ""),
		HTTPClient:   wholebody.Client{Next: hc},
		Retryer:      aws.NopRetryer{},
	}, options...)
	return client, func() { hc.GetTransport().CloseIdleConnections() }
}

// tune keeps as many connections as there are calls at once.
func tune(t *http.Transport) {
	t.MaxIdleConns = 512
	t.MaxIdleConnsPerHost = 512
}
