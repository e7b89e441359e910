// Package stub is an SQS that costs next to nothing: a queue that is always
// full, served by a hand-made HTTP/1.1 server from canned replies. The benchmark
// runs it in a process of its own ([Spawn]), so that the CPU and the allocations
// of the measured process are those of the client side alone.
//
// It answers the AWS JSON 1.0 calls that a consumer makes: ReceiveMessage,
// DeleteMessageBatch and ChangeMessageVisibilityBatch (every entry succeeds),
// DeleteMessage and ChangeMessageVisibility (a handle that is not its own is
// refused), SendMessage, GetQueueUrl and GetQueueAttributes. It keeps no state
// beyond its counters: what is not deleted does not come back.
package stub
