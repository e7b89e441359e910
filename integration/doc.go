// Package integration gives tests a real LocalStack and a real Redis.
//
//	func TestOrders(t *testing.T) {
//		t.Parallel()
//		aws := integration.LocalStack(t)
//		orders := aws.Queue(t, "orders", nil)
//		rdb := integration.Redis(t)
//		...
//	}
//
// Nothing has to be called before the tests or after them. Queues and topics have
// names of their own and go with their test, so tests may run in parallel, and
// several test binaries on one LocalStack.
//
// # Where LocalStack comes from
//
// The first of these that holds:
//
//  1. HOLDFAST_LOCALSTACK_URL names the endpoint of one that runs already.
//  2. AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_SNS, or AWS_ENDPOINT_URL for both,
//     the variables that the SDK itself knows. An SNS that is not named is taken to be
//     where SQS is. Any server of these APIs will do, not only LocalStack.
//  3. Docker runs it, from [DefaultImage] or the image that HOLDFAST_LOCALSTACK_IMAGE
//     names, with LOCALSTACK_AUTH_TOKEN passed on (LocalStack 4.15 and newer want
//     one). One container serves the whole test binary. Its port is bound to
//     127.0.0.1, it starts SQS, SNS and STS only (or what [Services] says), and it is
//     not given the Docker socket.
//
// Otherwise the test is skipped, with one line that says what was missing; with
// HOLDFAST_REQUIRE_CONTAINERS=1 it fails instead, for CI. An endpoint that is named and
// does not answer always fails the test.
//
// The credentials are made up ("test", which LocalStack takes for the account
// 000000000000), never yours: a test that is pointed at AWS by mistake gets nowhere.
//
// # Where Redis comes from
//
//  1. REDIS_URL (redis://localhost:6379/0). It is neither flushed nor reconfigured:
//     keys that must not meet those of other tests want [Unique] in their names.
//  2. redis-server in PATH is started once for the test binary, on a Unix socket in a
//     folder of its own, without persistence and without eviction.
//  3. Docker runs [DefaultRedisImage] or the image that HOLDFAST_REDIS_IMAGE names.
//
// # Docker
//
// Images are not pulled behind your back: one that is missing counts as no Docker,
// unless HOLDFAST_PULL=1 allows to pull it. Containers and servers end with the test
// binary, also when that is killed: a small process of this package outlives it and
// clears up (the same binary, started again with a variable set; the package's init
// function takes it from there). It does what Ryuk does for testcontainers, without
// an image of its own, so the harness switches Ryuk off where
// TESTCONTAINERS_RYUK_DISABLED is not set. Should both be killed, the next run removes
// containers whose owner is dead, by their labels. A Docker daemon on another machine
// is not used, because the ports are bound to its loopback: name an endpoint instead.
//
// # Variables
//
//	HOLDFAST_LOCALSTACK_URL      endpoint of SQS, SNS and STS
//	AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_SNS, AWS_ENDPOINT_URL
//	HOLDFAST_LOCALSTACK_IMAGE    default localstack/localstack:4.14.0
//	LOCALSTACK_AUTH_TOKEN        passed on to the container
//	REDIS_URL                    redis://[user:password@]host:port/db
//	HOLDFAST_REDIS_IMAGE         default redis:7-alpine
//	HOLDFAST_PULL=1              missing images are pulled
//	HOLDFAST_REQUIRE_CONTAINERS=1  what is missing fails the test instead of skipping it
//	HOLDFAST_LEFT_OUT            file that gets a line for each test that is skipped
//
// On a Debian 12 machine without any registry of images, scripts/localstack runs
// LocalStack on the machine itself and scripts/localstack-images makes images of it
// and of Redis.
//
// Reading order: localstack.go (clients), queue.go (queues, topics, names), redis.go,
// container.go (Docker), reaper.go (what clears up).
package integration
