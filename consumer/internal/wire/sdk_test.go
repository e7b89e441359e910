package wire

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/holdfast-go/holdfast"
)

// fake is a client that is not the SDK's.
type fake struct{ API }

func (fake) ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	time.Sleep(3 * time.Second)
	return &sqs.ReceiveMessageOutput{Messages: make([]types.Message, 1)}, nil
}

func TestAReceiveByAnotherClientCountsFromItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sdk := &SDK{Poll: fake{}}
		sdk.opened.Store(new(opened))
		began := time.Now()
		_, at, err := sdk.Receive(t.Context(), 1, 0, "", func() *holdfast.Message { return new(holdfast.Message) })
		if d := at.Sub(began); err != nil || d != 3*time.Second {
			t.Errorf("the reply came after %v, %v; want 3s", d, err)
		}
	})
}
