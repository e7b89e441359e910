package snsserver

import (
	"encoding/json"
	"fmt"
)

// Bind gives an access key an IAM policy that is enforced from then on, as that of
// the package for SQS does. "" frees the key again.
func (s *Server) Bind(accessKey, document string) error {
	var p *policy
	if document != "" {
		var err error
		if p, err = parseDocument(document, true); err != nil {
			return fmt.Errorf("access key %q: %w", accessKey, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == nil {
		delete(s.bound, accessKey)
	} else {
		s.bound[accessKey] = p
	}
	return nil
}

// wholeAccount are the actions that IAM does not limit to a topic (AWS, "Actions
// defined by Amazon SNS"): policies must allow them on *.
var wholeAccount = map[string]bool{
	"GetSubscriptionAttributes": true, "ListSubscriptions": true, "ListTopics": true,
	"SetSubscriptionAttributes": true, "Unsubscribe": true,
}

// ask asks the policy of the caller's access key and the tester's rule. The caller
// holds the lock.
func (s *Server) ask(c *call, resource string) error {
	if p := s.bound[c.id.accessKey]; p != nil {
		on := resource
		if wholeAccount[c.action] {
			on = "*"
		}
		v := p.ask(requester{account: c.id.account, principal: c.id.principal(), context: c.id.context()}, "SNS:"+iamAction(c.action), on)
		if !v.allowed {
			return refuse(c, on, "the policy of the access key: "+v.why)
		}
	}
	if s.authorize == nil {
		return nil
	}
	if err := s.authorize(iamAction(c.action), resource); err != nil {
		return refuse(c, resource, err.Error())
	}
	return nil
}

func refuse(c *call, resource, why string) error {
	return errAuthorization.with("User: %s is not authorized to perform: SNS:%s on resource: %s: %s",
		c.id.principal(), iamAction(c.action), resource, why)
}

// allow asks the tester's rule and the topic's policy. Callers of the topic's
// account need no Allow in it, all others do.
func (s *Server) allow(c *call, t *topic) error {
	if err := s.ask(c, t.arn.String()); err != nil {
		return err
	}
	own := c.id.account == t.owner
	p := t.settings.policy
	if p == nil { // the default allows the owner everything, and nobody else anything
		if own {
			return nil
		}
		return refuse(c, t.arn.String(), "no resource-based policy allows the SNS:"+iamAction(c.action)+" action")
	}
	context := c.id.context()
	context["sns:protocol"], context["sns:endpoint"] = c.form.get("Protocol"), c.form.get("Endpoint")
	v := p.ask(requester{account: c.id.account, principal: c.id.principal(), context: context}, "SNS:"+iamAction(c.action), t.arn.String())
	if v.allowed || own && !v.denied {
		return nil
	}
	return refuse(c, t.arn.String(), "the topic's policy: "+v.why)
}

// allowSubscription lets the owners of a subscription and of its topic pass.
func (s *Server) allowSubscription(c *call, sub *subscription) error {
	if err := s.ask(c, sub.topic.arn.String()); err != nil {
		return err
	}
	if c.id.account != sub.owner && c.id.account != sub.topic.owner {
		return refuse(c, sub.arn, "neither the subscription nor its topic is the caller's")
	}
	return nil
}

// admission is what a queue's policy says of a topic: a policy that has not
// changed is not asked again.
type admission struct {
	queueARN, document string
	known              bool
	refusal            *RefusedError
}

// admit asks a queue's policy whether SNS may send to it for a subscription.
func (s *Server) admit(sub *subscription, queueARN string) error {
	document, exists := s.queues.Policy(queueARN)
	if !exists {
		return errQueueGone
	}
	a := &sub.admission
	if !a.known || a.queueARN != queueARN || a.document != document {
		*a = admission{queueARN, document, true, s.examine(sub.topic, queueARN, document)}
	}
	if a.refusal != nil {
		return a.refusal
	}
	return nil
}

// enabledRegions are those that every account has; SNS counts all others as opt-in
// (AWS, "Sending Amazon SNS messages to an Amazon SQS queue or AWS Lambda function in a
// different Region").
var enabledRegions = map[string]bool{
	"ap-northeast-1": true, "ap-northeast-2": true, "ap-south-1": true, "ap-southeast-1": true, "ap-southeast-2": true,
	"ca-central-1": true, "eu-central-1": true, "eu-north-1": true, "eu-west-1": true, "eu-west-2": true, "eu-west-3": true,
	"sa-east-1": true, "us-east-1": true, "us-east-2": true, "us-west-1": true, "us-west-2": true,
}

// principalOf is the service as which SNS sends from a topic to a queue. Between two
// regions of which one is opt-in it goes by the name of that one, the queue's first.
func principalOf(topic arn, queueARN string) string {
	queue, _ := splitARN(queueARN)
	if topic.region != queue.region && topic.partition == "aws" {
		for _, region := range []string{queue.region, topic.region} {
			if !enabledRegions[region] {
				return "sns." + region + ".amazonaws.com"
			}
		}
	}
	return "sns.amazonaws.com"
}

// examine evaluates a queue's policy for a topic, nil for a yes.
func (s *Server) examine(t *topic, queueARN, document string) *RefusedError {
	service := principalOf(t.arn, queueARN)
	advice := `Allow sqs:SendMessage to Principal {"Service":"` + service + `"} where aws:SourceArn is the topic's ARN`
	if document == "" {
		return &RefusedError{"AccessDenied", "the queue has no access policy, so SNS may not send to it: " + advice}
	}
	p, err := s.policyOf(document)
	if err != nil {
		return &RefusedError{"AccessDenied", "the queue's access policy: " + err.Error()}
	}
	v := p.ask(requester{service: service, context: map[string]string{
		"aws:sourcearn":             t.arn.String(),
		"aws:sourceaccount":         t.owner,
		"aws:sourceowner":           t.owner,
		"aws:securetransport":       "true",
		"aws:principalisawsservice": "true",
		"aws:principalservicename":  service,
	}}, "sqs:SendMessage", queueARN)
	switch {
	case v.allowed:
		return nil
	case v.denied:
		return &RefusedError{"AccessDenied", "the queue's access policy: " + v.why}
	}
	return &RefusedError{"AccessDenied", "the queue's access policy does not let SNS send for " + t.arn.String() + ": " + v.why + ". " + advice}
}

// defaultTopicPolicy is the policy that a topic is made with.
func defaultTopicPolicy(t *topic) string {
	return fmt.Sprintf(`{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},`+
		`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],`+
		`"Resource":%q,"Condition":{"StringEquals":{"AWS:SourceOwner":%q}}}]}`, t.arn, t.owner)
}

// document is a topic's policy as a document that can be edited.
func (s *Server) document(t *topic) (map[string]any, []any, error) {
	text := t.attributes["Policy"]
	if text == "" {
		text = defaultTopicPolicy(t)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, nil, errParameter.with("Invalid parameter: Policy Error: %v", err)
	}
	statements, ok := doc["Statement"].([]any)
	if !ok {
		statements = []any{doc["Statement"]}
	}
	return doc, statements, nil
}

// replacePolicy sets a topic's policy to a document with these statements.
func (s *Server) replacePolicy(t *topic, doc map[string]any, statements []any) error {
	doc["Statement"] = statements
	text, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return s.setTopicAttribute(t, "Policy", string(text), false)
}
