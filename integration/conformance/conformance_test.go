package conformance

import (
	"flag"
	"os"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/integration"
	"github.com/holdfast-go/holdfast/sqstest"
)

// TestMain lets more cases run at once than there are processors: most of them wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestInProcess(t *testing.T) {
	t.Parallel()
	finish(t, Run(t, Backend{
		Name: "sqstest in the process",
		Case: func(t *testing.T, run func(*testing.T, *sqs.Client)) {
			synctest.Test(t, func(t *testing.T) { run(t, sqstest.New(t).SQS()) })
		},
	}, SQS()))
}

func TestOnAPort(t *testing.T) {
	t.Parallel()
	srv := sqstest.New(t)
	url := srv.Listen(t)
	finish(t, Run(t, Backend{
		Name: "sqstest on a port",
		Case: func(t *testing.T, run func(*testing.T, *sqs.Client)) { run(t, srv.SQS(sqstest.At(url))) },
	}, SQS()))
}

func TestLocalStack(t *testing.T) {
	t.Parallel()
	stack := integration.LocalStack(t)
	t.Logf("LocalStack: %s at %s", stack.Source, stack.URL)
	finish(t, Run(t, Backend{
		Name:       "LocalStack",
		Case:       func(t *testing.T, run func(*testing.T, *sqs.Client)) { run(t, stack.SQS) },
		Departures: LocalStackDepartures(),
	}, SQS()))
}

// finish logs a result, and writes it to the file named by HOLDFAST_CONFORMANCE_REPORT.
func finish(t *testing.T, r *Result) {
	t.Helper()
	t.Log(r)
	results.add(r)
	if path := os.Getenv("HOLDFAST_CONFORMANCE_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(Markdown(results.all())), 0o644); err != nil {
			t.Error(err)
		}
	}
}
