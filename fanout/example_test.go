package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast"
	"github.com/holdfast-go/holdfast/consumer"
	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// exampleTest stands for the *testing.T that an example does not have.
type exampleTest struct{ testing.TB }

func (exampleTest) Helper()                           {}
func (exampleTest) Failed() bool                      { return false }
func (exampleTest) Cleanup(func())                    {}
func (exampleTest) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// exampleShop is a topic whose orders go to a queue.
var exampleShop = fanout.Topology{
	Name: "shop", Region: "us-east-1", Account: "000000000000",
	Topics:        []fanout.Topic{{Name: "orders"}},
	Queues:        []fanout.Queue{{Name: "billing"}},
	Subscriptions: []fanout.Subscription{{Topic: "orders", Queue: "billing", Raw: true}},
}

// exampleClients are clients of an SQS and SNS in the process. Those of AWS are
// sqs.NewFromConfig(cfg) and sns.NewFromConfig(cfg).
func exampleClients() (fanout.Clients, *sqstest.Server) {
	srv := sqstest.New(exampleTest{})
	return fanout.Clients{SQS: srv.SQS(), SNS: srv.SNS()}, srv
}

func ExamplePlan() {
	clients, _ := exampleClients()
	plan, err := fanout.Plan(context.Background(), clients, exampleShop, fanout.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range plan.Changes { // or fmt.Print(plan)
		fmt.Println(c.Kind, c.Resource, c.Name)
	}
	// Output:
	// create topic orders
	// create queue billing-dlq
	// create queue billing-orders-undelivered
	// create queue billing
	// create subscription orders -> billing
}

func ExampleApply() {
	ctx := context.Background()
	clients, _ := exampleClients()
	emulated := fanout.Config{PolicySpread: -1} // on AWS leave it to its default
	if _, err := fanout.Apply(ctx, clients, exampleShop, emulated); err != nil {
		fmt.Println(err)
		return
	}
	plan, err := fanout.Plan(ctx, clients, exampleShop, emulated)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(plan)
	// Output:
	// no differences
}

func ExampleApply_prune() {
	ctx := context.Background()
	clients, srv := exampleClients()
	old := srv.Queue(exampleTest{}, "old") // left behind by somebody
	diff, err := fanout.Apply(ctx, clients, exampleShop, fanout.Config{PolicySpread: -1, Prune: []string{old.ARN}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(diff.Changes[len(diff.Changes)-1])
	// Output:
	// delete  queue old
}

func ExampleDiff_Empty() {
	clients, _ := exampleClients()
	plan, err := fanout.Plan(context.Background(), clients, exampleShop, fanout.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if !plan.Empty() { // as a check before a deployment
		fmt.Println(len(plan.Changes), "changes to apply")
	}
	// Output:
	// 5 changes to apply
}

func ExampleMissingError() {
	clients, _ := exampleClients()
	_, err := fanout.Apply(context.Background(), clients, exampleShop, fanout.Config{ExistingOnly: true})
	var missing *fanout.MissingError
	if errors.As(err, &missing) {
		fmt.Println(len(missing.Missing), "are missing")
	}
	// Output:
	// 5 are missing
}

func ExampleVerify() {
	ctx := context.Background()
	clients, _ := exampleClients()
	if _, err := fanout.Apply(ctx, clients, exampleShop, fanout.Config{PolicySpread: -1}); err != nil {
		fmt.Println(err)
		return
	}
	report, err := fanout.Verify(ctx, clients, exampleShop, fanout.VerifyConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.OK()) // fmt.Print(report) says which path fails, and why
	// Output:
	// true
}

func ExampleTopology_Validate() {
	topology := exampleShop
	topology.Account = "my-account"
	topology.Queues = []fanout.Queue{{Name: "billing", DLQ: fanout.DeadLetter{MaxReceives: 5000}}}
	fmt.Println(topology.Validate())
	// Output:
	// fanout: Account is "my-account"; it must be an account of twelve digits
	// fanout: Queues[0].DLQ.MaxReceives is 5000; it must be 1 to 1000
}

func ExampleWhere() {
	f := fanout.Where("kind", fanout.Is("goods", "gifts")).
		And("cents", fanout.AtLeast(1000)).
		And("country", fanout.Not("us"))
	fmt.Println(f.JSON())
	// Output:
	// {"kind":["goods","gifts"],"cents":[{"numeric":[">=",1000]}],"country":[{"anything-but":["us"]}]}
}

func ExampleFilter_AndAnyOf() {
	f := fanout.Where("kind", fanout.Is("goods")).AndAnyOf(
		fanout.Where("cents", fanout.AtLeast(1000)),
		fanout.Where("vip", fanout.Exists()))
	fmt.Println(f.JSON())
	// Output:
	// {"kind":["goods"],"$or":[{"cents":[{"numeric":[">=",1000]}]},{"vip":[{"exists":true}]}]}
}

func ExampleFilter_In() {
	s := fanout.Subscription{
		Topic: "orders", Queue: "billing",
		Filter: fanout.Filter{}.In("order", fanout.Where("state", fanout.Prefix("paid"))),
		OnBody: true,
	}
	fmt.Println(s.Filter.JSON())
	// Output:
	// {"order":{"state":[{"prefix":"paid"}]}}
}

func ExampleFilterJSON() {
	f := fanout.FilterJSON(`{"kind": ["goods"]}`)
	fmt.Println(f.JSON())
	// Output:
	// {"kind": ["goods"]}
}

// allowed lists the actions of an IAM policy.
func allowed(policy string, err error) string {
	var doc struct {
		Statement []struct{ Action []string }
	}
	if err == nil {
		err = json.Unmarshal([]byte(policy), &doc)
	}
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, s := range doc.Statement {
		all = append(all, strings.Join(s.Action, " "))
	}
	return strings.Join(all, "\n")
}

func ExamplePlanPermissions() {
	fmt.Println(allowed(fanout.PlanPermissions(exampleShop, fanout.Config{})))
	// Output:
	// sqs:GetQueueUrl sqs:GetQueueAttributes sqs:ListQueueTags
	// sns:GetTopicAttributes sns:ListTagsForResource sns:ListSubscriptionsByTopic
	// sns:GetSubscriptionAttributes
}

func ExampleApplyPermissions() {
	fmt.Println(allowed(fanout.ApplyPermissions(exampleShop, fanout.Config{ExistingOnly: true})))
	// Output:
	// sqs:GetQueueUrl sqs:GetQueueAttributes sqs:ListQueueTags
	// sns:GetTopicAttributes sns:ListTagsForResource sns:ListSubscriptionsByTopic
	// sns:GetSubscriptionAttributes
	// sqs:SetQueueAttributes sqs:TagQueue
	// sns:SetTopicAttributes sns:TagResource
	// sns:SetSubscriptionAttributes
}

func ExampleConsumePermissions() {
	policy, err := fanout.ConsumePermissions(exampleShop, "billing")
	fmt.Print(policy, err)
	// Output:
	// {
	//   "Version": "2012-10-17",
	//   "Statement": [
	//     {
	//       "Sid": "Consume",
	//       "Effect": "Allow",
	//       "Action": [
	//         "sqs:GetQueueUrl",
	//         "sqs:GetQueueAttributes",
	//         "sqs:ReceiveMessage",
	//         "sqs:DeleteMessage",
	//         "sqs:ChangeMessageVisibility"
	//       ],
	//       "Resource": [
	//         "arn:aws:sqs:us-east-1:000000000000:billing"
	//       ]
	//     },
	//     {
	//       "Sid": "DeadLetter",
	//       "Effect": "Allow",
	//       "Action": [
	//         "sqs:SendMessage"
	//       ],
	//       "Resource": [
	//         "arn:aws:sqs:us-east-1:000000000000:billing-dlq"
	//       ]
	//     }
	//   ]
	// }
	// <nil>
}

func ExampleSendPermissions() {
	fmt.Println(allowed(fanout.SendPermissions(exampleShop, "billing")))
	// Output:
	// sqs:GetQueueUrl sqs:SendMessage
}

func ExampleProducePermissions() {
	fmt.Println(allowed(fanout.ProducePermissions(exampleShop)))
	// Output:
	// sns:Publish
}

func ExampleVerifyPermissions() {
	policy := allowed(fanout.VerifyPermissions(exampleShop))
	fmt.Println(policy[strings.LastIndexByte(policy, '\n')+1:])
	// Output:
	// sqs:ReceiveMessage sqs:DeleteMessage sqs:ChangeMessageVisibility
}

func ExampleCloudFormation() {
	text, err := fanout.CloudFormation(exampleShop)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, typ := range []string{"AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::SNS::Subscription"} {
		fmt.Println(strings.Count(text, `"`+typ+`"`), typ)
	}
	// Output:
	// 1 AWS::SNS::Topic
	// 3 AWS::SQS::Queue
	// 2 AWS::SQS::QueuePolicy
	// 1 AWS::SNS::Subscription
}

func ExampleConfirm() {
	srv := sqstest.New(exampleTest{})
	srv.Queue(exampleTest{}, "billing")
	var client fanout.ConfirmAPI = srv.SNS(func(o *sns.Options) { o.Region = "us-east-1" })
	handler := holdfast.HandlerFunc(func(context.Context, *holdfast.Message) error { return nil })
	_, err := consumer.New(srv.SQS(), "billing", handler, consumer.Config{
		Middleware: []holdfast.Middleware{fanout.Confirm(client, "arn:aws:sns:us-east-1:111111111111:their-orders")},
	})
	fmt.Println(err)
	// Output:
	// <nil>
}
