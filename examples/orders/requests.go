package main

import (
	"context"
	"maps"
	"sync"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
)

// requests counts the requests to SQS, which is what AWS bills. It counts inside
// the SDK, each try for itself, so it works with any endpoint and HTTP client.
// The zero value is ready; safe for concurrent use.
type requests struct {
	mu   sync.Mutex // guards byOp
	byOp map[string]int
}

// count is an option of a client that has its requests counted.
func (r *requests) count(o *sqs.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("CountRequests",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				r.add(awsmiddleware.GetOperationName(ctx))
				return next.HandleDeserialize(ctx, in)
			}), middleware.After)
	})
}

func (r *requests) add(operation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byOp == nil {
		r.byOp = make(map[string]int)
	}
	r.byOp[operation]++
}

// snapshot returns the counts so far, by operation.
func (r *requests) snapshot() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.byOp)
}
