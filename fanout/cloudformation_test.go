package fanout_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/internal/leftout"
)

// everyKind is a topology with something of every kind in it.
func everyKind() fanout.Topology {
	topology := shop()
	topology.Tags = map[string]string{"team": "shop"}
	topology.Topics[0].Attributes = map[string]string{
		"DisplayName": "Orders", "SignatureVersion": "2", "TracingConfig": "Active",
		"Policy": `{"Version":"2012-10-17","Statement":[{"Sid":"publish","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"sns:Publish","Resource":"arn:aws:sns:us-east-1:000000000000:orders"}]}`,
	}
	for _, name := range []string{"SuccessFeedbackRoleArn", "FailureFeedbackRoleArn"} {
		topology.Topics[0].Attributes["SQS"+name] = "arn:aws:iam::000000000000:role/sns-logs"
		topology.Topics[0].Attributes["HTTP"+name] = "arn:aws:iam::000000000000:role/sns-logs"
	}
	topology.Topics[0].Attributes["SQSSuccessFeedbackSampleRate"] = "10"
	topology.Topics[0].KMSKey, topology.Topics[0].MaxMessageSize = "alias/orders", 100<<10
	topology.Topics = append(topology.Topics, fanout.Topic{Name: "steps.fifo", ContentBasedDeduplication: true, Attributes: map[string]string{
		"ArchivePolicy": `{"MessageRetentionPeriod":"30"}`, "FifoThroughputScope": "MessageGroup",
	}})
	topology.Queues[0].KMSKey, topology.Queues[0].KMSReuse = "alias/billing", time.Hour
	topology.Queues[1].Delay, topology.Queues[1].ReceiveWait, topology.Queues[1].MaxMessageSize = time.Minute, 20*time.Second, 600<<10
	topology.Queues[2].AllowRedriveFrom, topology.Queues[2].DLQ = []string{"*"}, fanout.DeadLetter{Off: true}
	topology.Queues = append(topology.Queues, fanout.Queue{Name: "steps.fifo", HighThroughput: true})
	topology.Subscriptions[0].Filter, topology.Subscriptions[0].OnBody = fanout.Filter{}.In("a", fanout.Where("b", fanout.Between(1, 2))), true
	topology.Subscriptions = append(topology.Subscriptions,
		fanout.Subscription{Topic: "steps.fifo", Queue: "steps.fifo"},
		fanout.Subscription{Topic: "steps.fifo", Queue: "audit", DLQ: fanout.Undelivered{Off: true}},
		fanout.Subscription{Topic: elsewhere, Queue: "billing", DLQ: fanout.Undelivered{ARN: "arn:aws:sqs:eu-west-1:000000000000:lost"}},
		fanout.Subscription{Topic: "orders", Queue: "arn:aws:sqs:us-east-1:222222222222:theirs", DLQ: fanout.Undelivered{Off: true}})
	return topology
}

// cfnLint is where cfn-lint is. Where it is not installed (scripts/cfn-lint install) the
// test is left out, unless HOLDFAST_REQUIRE_CFN_LINT is set, as in CI.
func cfnLint(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command("../scripts/cfn-lint", "path").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	linter, err := exec.LookPath("cfn-lint")
	if err != nil {
		const why = "the templates were not checked by cfn-lint, which is not installed: run scripts/cfn-lint install"
		if os.Getenv("HOLDFAST_REQUIRE_CFN_LINT") != "" {
			t.Fatal(why + "; HOLDFAST_REQUIRE_CFN_LINT is set")
		}
		leftout.Note(t, why)
		t.Skip(why)
	}
	return linter
}

func TestWhereTheLinterIsMissingItIsSaid(t *testing.T) {
	nowhere := t.TempDir()
	noted := filepath.Join(nowhere, "left-out")
	for name, value := range map[string]string{"HOLDFAST_CACHE": nowhere, "PATH": nowhere, "HOLDFAST_REQUIRE_CFN_LINT": "", "HOLDFAST_LEFT_OUT": noted} {
		t.Setenv(name, value)
	}
	t.Run("where nothing is installed", func(t *testing.T) {
		t.Errorf("found %s", cfnLint(t))
	})
	if got, err := os.ReadFile(noted); err != nil || !strings.Contains(string(got), "run scripts/cfn-lint install") {
		t.Errorf("%v, noted %q", err, got)
	}
}

// TestCloudFormationPassesTheLinter runs cfn-lint over templates.
func TestCloudFormationPassesTheLinter(t *testing.T) {
	t.Parallel()
	linter := cfnLint(t)
	// One run for all, as it takes more than a second to start.
	args := []string{"--regions", "us-east-1", "--format", "parseable", "--template"}
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name+".json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
		return file
	}
	for name, topology := range map[string]fanout.Topology{"shop": shop(), "every-kind": everyKind()} {
		text, err := fanout.CloudFormation(topology)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		write(name, text)
	}
	text, err := fanout.CloudFormation(shop())
	if err != nil {
		t.Fatal(err)
	}
	// The linter is one that looks.
	bad := write("bad", strings.Replace(text, `"VisibilityTimeout": 30`, `"VisibilityTimeout": 30, "Visibility": 30`, 1))
	out, err := exec.Command(linter, args...).CombinedOutput()
	found := 0
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, bad) && strings.Contains(line, "Visibility") {
			found++
		} else if strings.TrimSpace(line) != "" {
			t.Errorf("cfn-lint says %s", line)
		}
	}
	if found == 0 || err == nil {
		t.Errorf("cfn-lint takes a property that is none: %v\n%s", err, out)
	}
}

func TestCloudFormationHasAllOfTheTopology(t *testing.T) {
	t.Parallel()
	text, err := fanout.CloudFormation(everyKind())
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources map[string]struct {
			Type           string
			Properties     map[string]any
			DependsOn      []string
			DeletionPolicy string
		}
	}
	if err := json.Unmarshal([]byte(text), &template); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for id, r := range template.Resources {
		count[r.Type]++
		if r.Type == "AWS::SQS::Queue" && r.DeletionPolicy != "Retain" {
			t.Errorf("queue %s goes with its stack", id)
		}
		for _, on := range r.DependsOn {
			if template.Resources[on].Type != "AWS::SQS::QueuePolicy" {
				t.Errorf("%s depends on %s, which is a %s", id, on, template.Resources[on].Type)
			}
		}
		if _, encrypted := r.Properties["KmsMasterKeyId"]; encrypted && r.Properties["SqsManagedSseEnabled"] != nil {
			t.Errorf("queue %s has two kinds of encryption", id)
		}
	}
	// 4 queues, 3 of their dead-letter queues, 4 for what SNS could not deliver.
	for typ, want := range map[string]int{"AWS::SNS::Topic": 2, "AWS::SNS::TopicPolicy": 1, "AWS::SQS::Queue": 11, "AWS::SNS::Subscription": 7, "AWS::SQS::QueuePolicy": 8} {
		if count[typ] != want {
			t.Errorf("%d of %s, want %d", count[typ], typ, want)
		}
	}
	far := small()
	far.Subscriptions[0].Topic = elsewhere
	refusal := "fanout: Subscriptions[events -> billing].DLQ is \"billing-us-east-1-events-undelivered\"; it must be Off, or the ARN of a queue in eu-west-1: a stack makes queues in its own region"
	if _, err := fanout.CloudFormation(far); err == nil || err.Error() != refusal {
		t.Errorf("%v, want %s", err, refusal)
	}
	topology := shop()
	topology.Topics[0].Attributes = map[string]string{"DeliveryPolicy": "{}"}
	want := "fanout: Topics[0].Attributes[DeliveryPolicy] is \"{}\"; it must be left out: CloudFormation has no property for it"
	if _, err := fanout.CloudFormation(topology); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
