package conformance

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/integration"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestMain lets more cases run at once than there are processors: most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

//nolint:tparallel // the cases are parallel, but for those of Backend.Alone
func TestInProcess(t *testing.T) {
	t.Parallel()
	Test(t, inProcess(), All(), finish(t))
}

//nolint:tparallel // the cases are parallel, but for those of Backend.Alone
func TestOnAPort(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	url := srv.Listen(t)
	Test(t, onNetwork("sqstest on a port", Clients{srv.SQS(sqstest.At(url)), srv.SNS(sqstest.SNSAt(url))}), All(), finish(t))
}

//nolint:tparallel // the cases are parallel, but for those of Backend.Alone
func TestLocalStack(t *testing.T) {
	t.Parallel()
	stack := integration.LocalStack(t)
	t.Logf("LocalStack: %s at %s", stack.Source, stack.URL)
	backend := onNetwork("LocalStack", Clients{stack.SQS, stack.SNS})
	backend.Departures, backend.Alone = LocalStackDepartures(), LocalStackAlone()
	Test(t, backend, All(), finish(t))
}

// inProcess gives each case a server and a bubble of virtual time of its own.
func inProcess() Backend {
	return Backend{Name: "sqstest in the process", Case: func(t *testing.T, run func(*testing.T, Clients)) {
		synctest.Test(t, func(t *testing.T) {
			srv := sqstest.New(t)
			run(t, Clients{srv.SQS(), srv.SNS()})
		})
	}}
}

// onNetwork gives all cases one server, in real time, and each an account of its own, so
// that they do not see each other's queues and topics. The account is the access key, where that is
// 12 digits.
func onNetwork(name string, clients Clients) Backend {
	return Backend{Name: name, Tries: 3, Case: func(t *testing.T, run func(*testing.T, Clients)) {
		account := credentials.NewStaticCredentialsProvider(fmt.Sprintf("%012d", rand.Int64N(1e12)), "test", "")
		run(t, Clients{
			sqs.New(clients.SQS.Options(), func(o *sqs.Options) { o.Credentials = account }),
			sns.New(clients.SNS.Options(), func(o *sns.Options) { o.Credentials = account }),
		})
	}}
}

// finish logs results, and writes them to the file named by HOLDFAST_CONFORMANCE_REPORT:
// in the place where docs/testing.md has them, else as a file of its own.
func finish(t *testing.T) func(*Result) {
	return func(r *Result) {
		t.Log(r)
		results.add(r)
		path := os.Getenv("HOLDFAST_CONFORMANCE_REPORT")
		if path == "" {
			return
		}
		text := Markdown(results.all())
		if was, err := os.ReadFile(path); err == nil {
			if spliced, ok := splice(string(was), text); ok {
				text = spliced
			}
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}
