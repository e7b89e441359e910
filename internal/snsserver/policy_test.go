package snsserver_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/holdfast-go/holdfast/internal/snsserver"
)

// allowing is AWS's example of a policy that lets a topic send to a queue.
const allowing = `{"Statement":[{"Sid":"sns","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage",` +
	`"Resource":"arn:aws:sqs:us-east-1:000000000000:billing","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:000000000000:orders"}}}]}`

// with is that policy with one thing replaced.
func with(old, replaced string) string { return strings.Replace(allowing, old, replaced, 1) }

func TestQueuePolicy(t *testing.T) {
	t.Parallel()
	const condition = `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:000000000000:orders"}}`
	for _, c := range []struct{ name, policy, why string }{
		{"AWS's example", allowing, ""},
		{"no condition", with(`,"Condition":`+condition, ``), ""},
		{"everybody", with(`{"Service":"sns.amazonaws.com"}`, `"*"`), ""},
		{"every AWS principal", with(`{"Service":"sns.amazonaws.com"}`, `{"AWS":"*"}`), ""},
		{"one of several services", with(`"sns.amazonaws.com"`, `["events.amazonaws.com","sns.amazonaws.com"]`), ""},
		{"another service", with(`sns.amazonaws.com`, `events.amazonaws.com`), `statement "sns" is for another Principal`},
		{"an account", with(`{"Service":"sns.amazonaws.com"}`, `{"AWS":"000000000000"}`), `statement "sns" is for another Principal`},
		{"all but this service", strings.Replace(allowing, `"Principal"`, `"NotPrincipal"`, 1), `statement "sns" is for another Principal`},
		{"all but another service", with(`"Principal":{"Service":"sns`, `"NotPrincipal":{"Service":"events`), ""},
		{"actions in any case", with(`sqs:SendMessage`, `SQS:SENDmessage`), ""},
		{"all actions", with(`sqs:SendMessage`, `sqs:*`), ""},
		{"actions by their beginning", with(`"sqs:SendMessage"`, `["sqs:Get*","sqs:Send*"]`), ""},
		{"another action", with(`sqs:SendMessage`, `sqs:ReceiveMessage`), `statement "sns" is for another Action than sqs:SendMessage`},
		{"all but this action", with(`"Action"`, `"NotAction"`), `statement "sns" is for another Action than sqs:SendMessage`},
		{"all but another action", with(`"Action":"sqs:SendMessage"`, `"NotAction":"sqs:DeleteQueue"`), ""},
		{"all resources", with(`arn:aws:sqs:us-east-1:000000000000:billing`, `*`), ""},
		{"resources by their beginning", with(`:billing"`, `:bill*"`), ""},
		{"another resource", with(`:billing"`, `:shipping"`), `statement "sns" is for another Resource than arn:aws:sqs:us-east-1:000000000000:billing`},
		{"all but this resource", with(`"Resource"`, `"NotResource"`), `statement "sns" is for another Resource than arn:aws:sqs:us-east-1:000000000000:billing`},
		{"no resource", with(`"Resource":"arn:aws:sqs:us-east-1:000000000000:billing",`, ``), ""},
		{"an ARN with wildcards", with(condition, `{"ArnLike":{"AWS:SourceARN":"arn:aws:sns:*:*:ord*"}}`), ""},
		{"ArnEquals takes wildcards as well", with(`:orders"`, `:*"`), ""},
		{"another topic", with(`:orders"`, `:returns"`), `statement "sns" wants aws:SourceArn ArnEquals arn:aws:sns:us-east-1:000000000000:returns, it is arn:aws:sns:us-east-1:000000000000:orders`},
		{"one of several topics", with(`"arn:aws:sns:us-east-1:000000000000:orders"`, `["arn:aws:sns:us-east-1:000000000000:returns","arn:aws:sns:us-east-1:000000000000:orders"]`), ""},
		{"a wildcard does not go over colons", with(`arn:aws:sns:us-east-1:000000000000:orders`, `arn:*:orders`), `statement "sns" wants`},
		{"StringEquals", with(condition, `{"StringEquals":{"aws:SourceAccount":"000000000000"}}`), ""},
		{"StringEquals takes no wildcards", with(condition, `{"StringEquals":{"aws:SourceAccount":"0*"}}`), `statement "sns" wants aws:SourceAccount StringEquals 0*, it is 000000000000`},
		{"StringLike", with(condition, `{"StringLike":{"aws:SourceAccount":"0?00*"}}`), ""},
		{"StringNotEquals", with(condition, `{"StringNotEquals":{"aws:SourceAccount":"111111111111"}}`), ""},
		{"StringNotLike", with(condition, `{"StringNotLike":{"aws:SourceAccount":"0*"}}`), `statement "sns" wants`},
		{"ArnNotLike", with(condition, `{"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:*:returns"}}`), ""},
		{"StringEqualsIgnoreCase", with(condition, `{"StringEqualsIgnoreCase":{"aws:SourceArn":"ARN:aws:sns:us-east-1:000000000000:ORDERS"}}`), ""},
		{"Bool", with(condition, `{"Bool":{"aws:SecureTransport":true}}`), ""},
		{"Null", with(condition, `{"Null":{"aws:SourceArn":"false","aws:PrincipalOrgID":true}}`), ""},
		{"a key that the request lacks", with(condition, `{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`), `statement "sns" wants aws:PrincipalOrgID StringEquals o-1, the request does not have it`},
		{"a key that need not be there", with(condition, `{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}`), ""},
		{"the negation of a key that is not there", with(condition, `{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}`), ""},
		{"any of the values", with(condition, `{"ForAnyValue:StringLike":{"aws:SourceArn":"*orders"}}`), ""},
		{"all conditions must hold", with(condition, `{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:000000000000:orders"},"StringEquals":{"aws:SourceAccount":"1"}}`), `statement "sns" wants aws:SourceAccount`},
		{"an operator that is not known", with(condition, `{"DateLessThan":{"aws:CurrentTime":"2099-01-01T00:00:00Z"}}`), `statement "sns" has the condition DateLessThan, which this server does not know`},
		{"a statement that is no list", strings.NewReplacer(`[{`, `{`, `}]`, `}`).Replace(allowing), ""},
		{"a Deny decides", strings.Replace(allowing, `]}`, `,{"Sid":"tls","Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceAccount":"111111111111"}}}]}`, 1), `policy: statement "tls" denies it`},
		{"a Deny of others does not", strings.Replace(allowing, `]}`, `,{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, 1), ""},
		{"a Deny that cannot be evaluated does", strings.Replace(allowing, `]}`, `,{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"x"}}}]}`, 1), `statement 2 denies it`},
		{"no statements", `{"Statement":[]}`, `it has no statements`},
		{"no document", `nonsense`, `the queue's access policy: the document cannot be read`},
		{"an effect that is none", with(`"Allow"`, `"allow"`), `statement 1: effect "allow" is neither Allow nor Deny`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, unsigned)
			topic, queue := b.topic("orders"), queueARN("billing")
			b.queues.allow(queue, c.policy)
			b.subscribe(topic, queue)
			id := b.publish(topic, "hello")
			got := b.server.Why(id, queue)
			switch {
			case c.why == "" && got != "delivered":
				t.Errorf("%s\nwant it delivered by %s", got, c.policy)
			case c.why != "" && (!strings.HasPrefix(got, "lost: AccessDenied: ") || !strings.Contains(got, c.why)):
				t.Errorf("%s\nwant it refused: %s", got, c.why)
			}
		})
	}
}

// Between two regions, SNS has to be let in by another name where one is opt-in.
func TestQueuePolicyOfAnotherRegion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, topicIn, queueIn, principal string }{
		{"both are enabled for every account", "us-east-1", "eu-west-1", "sns.amazonaws.com"},
		{"the topic's is opt-in", "ap-east-1", "us-east-1", "sns.ap-east-1.amazonaws.com"},
		{"the queue's is opt-in", "us-east-1", "eu-south-1", "sns.eu-south-1.amazonaws.com"},
		{"both are one that is opt-in", "ap-east-1", "ap-east-1", "sns.amazonaws.com"},
		{"another partition has none", "cn-north-1", "cn-northwest-1", "sns.amazonaws.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setupWith(t, snsserver.Config{NoSignature: true, Region: c.topicIn})
			o := b.client.Options()
			o.Region = c.topicIn
			b.client = sns.New(o)
			topic := b.topic("orders")
			queue := strings.Replace(queueARN("billing"), region, c.queueIn, 1)
			if strings.HasPrefix(c.queueIn, "cn-") {
				queue = strings.Replace(queue, "arn:aws:", "arn:aws-cn:", 1)
			}
			b.subscribe(topic, queue)
			for _, principal := range []string{"sns.amazonaws.com", "sns." + c.topicIn + ".amazonaws.com", "sns." + c.queueIn + ".amazonaws.com"} {
				b.queues.allow(queue, `{"Statement":{"Effect":"Allow","Principal":{"Service":"`+principal+`"},"Action":"sqs:SendMessage","Resource":"*"}}`)
				got := b.server.Why(b.publish(topic, "hello"), queue)
				switch {
				case principal == c.principal && got != "delivered":
					t.Errorf("%s is let in, and: %s", principal, got)
				case principal != c.principal && (!strings.HasPrefix(got, "lost: AccessDenied: ") || !strings.Contains(got, `{"Service":"`+c.principal+`"}`)):
					t.Errorf("%s is let in, and: %s\nwant it refused, with advice to let in %s", principal, got, c.principal)
				}
			}
		})
	}
}

func TestPolicyIsAskedAnewWhenItChanges(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic, queue := b.topic("orders"), queueARN("billing")
	b.subscribe(topic, queue)
	for _, policy := range []string{allowing, "", allowing, with("Allow", "Deny")} {
		b.queues.allow(queue, policy)
		b.publish(topic, "x")
	}
	if n := len(b.queues.got(queue)); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestTopicPolicy(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic := b.topic("orders")
	stranger := clientOf(b.server, "111111111111")
	publish := func(c *sns.Client) string {
		_, err := c.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")})
		return told(err)
	}
	const refused = "AuthorizationError: User: arn:aws:iam::111111111111:user/111111111111 is not authorized to perform: SNS:Publish on resource: arn:aws:sns:us-east-1:000000000000:orders: "
	if got, want := publish(stranger), refused+"no resource-based policy allows the SNS:Publish action"; got != want {
		t.Errorf("stranger: %s\nwant %s", got, want)
	}
	add := func(label string, action string) error {
		_, err := b.client.AddPermission(b.ctx, &sns.AddPermissionInput{
			TopicArn: &topic, Label: &label, AWSAccountId: []string{"111111111111"}, ActionName: []string{action},
		})
		return err
	}
	must(0, add("partner", "Publish"))(t)
	if got := publish(stranger); got != "<nil>" {
		t.Errorf("stranger with permission: %s", got)
	}
	if got := publish(clientOf(b.server, "222222222222")); !strings.HasPrefix(got, "AuthorizationError") {
		t.Errorf("another stranger: %s", got)
	}
	if got := told(add("partner", "Publish")); got != "InvalidParameter: Invalid parameter: Statement already exists" {
		t.Errorf("adding it again: %s", got)
	}
	if got := told(add("more", "Fly")); got != "InvalidParameter: Invalid parameter: Policy statement action out of service scope!" {
		t.Errorf("adding an action that is none: %s", got)
	}
	must(b.client.RemovePermission(b.ctx, &sns.RemovePermissionInput{TopicArn: &topic, Label: aws.String("partner")}))(t)
	if got := publish(stranger); !strings.HasPrefix(got, refused+"the topic's policy: ") {
		t.Errorf("stranger without permission again: %s", got)
	}
	if got := publish(b.client); got != "<nil>" {
		t.Errorf("the owner: %s", got)
	}
	must(b.client.SetTopicAttributes(b.ctx, &sns.SetTopicAttributesInput{
		TopicArn: &topic, AttributeName: aws.String("Policy"),
		AttributeValue: aws.String(`{"Statement":{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"SNS:Publish","Resource":"*"}}`),
	}))(t)
	if got := publish(b.client); !strings.HasSuffix(got, "the topic's policy: statement 1 denies it") {
		t.Errorf("the owner, denied: %s", got)
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	b := setupWith(t, unsigned)
	topic := b.topic("orders")
	var asked []string
	b.server.SetAuthorize(func(action, arn string) error {
		asked = append(asked, action+" "+arn)
		if action == "Publish" {
			return &snsserver.RefusedError{Code: "no", Message: "not today"}
		}
		return nil
	})
	_, err := b.client.Publish(b.ctx, &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")})
	if got, want := told(err), "AuthorizationError: User: arn:aws:iam::000000000000:user/AKIDTEST is not authorized to perform: SNS:Publish on resource: "+topic+": no: not today"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	must(b.client.ListTopics(b.ctx, &sns.ListTopicsInput{}))(t)
	if got := strings.Join(asked, ", "); got != "Publish "+topic+", ListTopics *" {
		t.Errorf("asked %s", got)
	}
	b.server.SetAuthorize(nil)
	b.publish(topic, "x")
}
