package fanout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object of a template.
type object = map[string]any

// template is a CloudFormation template in the making.
type template struct {
	want      *desired
	resources object
	errs      []error
}

// CloudFormation is the whole topology as a CloudFormation template in JSON, for those
// who do not let a program create things. Queues are kept when the stack goes. With
// ExistingOnly, Apply then finds nothing to do. The error is Validate's, and a
// *ConfigError for attributes of topics that CloudFormation has no property for, and for
// dead-letter queues of subscriptions to topics of another region: a stack makes queues
// in one. A stack does not wait until policies have spread: what is published within a
// minute of its making may be lost.
func CloudFormation(t Topology) (string, error) {
	want, err := compileChecked(t, Config{})
	if err != nil {
		return "", err
	}
	c := &template{want: want, resources: object{}}
	for i := range want.topics {
		c.topic(i)
	}
	for i := range want.queues {
		c.queue(&want.queues[i])
	}
	for i := range want.subs {
		w := &want.subs[i]
		if dlq, ok := parseARN(w.dlq); ok && dlq.region != t.Region && want.queue(dlq) != nil {
			c.errs = append(c.errs, &ConfigError{
				"Subscriptions[" + w.String() + "].DLQ", dlq.name, "Off, or the ARN of a queue in " + dlq.region + ": a stack makes queues in its own region",
			})
		}
		c.subscription(w)
	}
	if err := errors.Join(c.errs...); err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(object{
		"AWSTemplateFormatVersion": "2010-09-09",
		"Description":              fmt.Sprintf("Topology %s: topics, queues and subscriptions", cmp.Or(t.Name, "holdfast")),
		"Resources":                c.resources,
	}, "", "  ")
	if err != nil {
		return "", err
	}
	return string(b) + "\n", nil
}

// logical is the id of a resource: letters and digits, different for each.
func logical(kind, about string) string {
	sum := sha256.Sum256([]byte(about))
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, nameOf(about))
	return kind + name[:min(len(name), 60)] + hex.EncodeToString(sum[:3])
}

func queueID(a arn) string  { return logical("Queue", a.String()) }
func policyID(a arn) string { return logical("Policy", a.String()) }
func topicID(a arn) string  { return logical("Topic", a.String()) }

func arnOf(id string) object { return object{"Fn::GetAtt": []string{id, "Arn"}} }

func tagList(tags map[string]string) []object {
	var list []object
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, object{"Key": key, "Value": tags[key]})
	}
	return list
}

// jsonValue reads what is given as JSON.
func (c *template) jsonValue(field, text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		c.errs = append(c.errs, &ConfigError{field, text, "JSON"})
	}
	return v
}

func (c *template) topic(i int) {
	w := &c.want.topics[i]
	p := object{"TopicName": w.arn.name, "Tags": tagList(w.tags)}
	if w.fifo {
		p["FifoTopic"] = true
	}
	logging := map[string]object{} // by protocol
	for _, name := range slices.Sorted(maps.Keys(w.attrs)) {
		value, field := w.attrs[name], fmt.Sprintf("Topics[%d].Attributes[%s]", i, name)
		switch name {
		case attrKMSKey:
			if value != "" {
				p[name] = value
			}
		case attrContentDedup:
			p[name] = value == "true"
		case attrMaxMessageSize:
			p[name] = number(value)
		case "DisplayName", "SignatureVersion", "TracingConfig", "FifoThroughputScope":
			p[name] = value
		case "ArchivePolicy":
			p[name] = c.jsonValue(field, value)
		case attrPolicy:
			c.resources[logical("TopicPolicy", w.arn.String())] = object{
				"Type":       "AWS::SNS::TopicPolicy",
				"Properties": object{"Topics": []object{{"Ref": topicID(w.arn)}}, "PolicyDocument": c.jsonValue(field, value)},
			}
		default:
			protocol, property := feedbackOf(name)
			if protocol == "" {
				c.errs = append(c.errs, &ConfigError{field, value, "left out: CloudFormation has no property for it"})
				continue
			}
			if logging[protocol] == nil {
				logging[protocol] = object{"Protocol": protocol}
			}
			logging[protocol][property] = value
		}
	}
	if len(logging) > 0 {
		var all []object
		for _, protocol := range slices.Sorted(maps.Keys(logging)) {
			all = append(all, logging[protocol])
		}
		p["DeliveryStatusLogging"] = all
	}
	c.resources[topicID(w.arn)] = object{"Type": "AWS::SNS::Topic", "Properties": p}
}

// number is a number where a text is one.
func number(text string) any {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return text
}

// feedbackOf takes an attribute of a topic apart that says where deliveries are logged, as
// SQSFailureFeedbackRoleArn, for which CloudFormation has a list by protocol.
func feedbackOf(name string) (protocol, property string) {
	at := max(strings.Index(name, "SuccessFeedback"), strings.Index(name, "FailureFeedback"), 0)
	return map[string]string{
		"HTTP": "http/s", "SQS": "sqs", "Lambda": "lambda", "Firehose": "firehose", "Application": "application",
	}[name[:at]], name[at:]
}

func (c *template) queue(w *wantQueue) {
	p := object{"QueueName": w.arn.name, "Tags": tagList(w.tags)}
	if w.fifo {
		p["FifoQueue"] = true
	}
	for name, value := range w.attrs {
		switch {
		case value == "", name == attrSSE && w.attrs[attrKMSKey] != "":
		case name == attrSSE || name == attrContentDedup:
			p[name] = value == "true"
		case name == attrRedrive:
			policy := c.jsonValue(name, value).(object)
			if target, ok := parseARN(redriveTarget(value)); ok && c.want.queue(target) != nil {
				policy["deadLetterTargetArn"] = arnOf(queueID(target))
			}
			p[name] = policy
		case name == attrRedriveAllow:
			p[name] = c.jsonValue(name, value) // sources by ARN: a reference each way would be a circle
		default:
			p[name] = number(value)
		}
	}
	c.resources[queueID(w.arn)] = object{"Type": "AWS::SQS::Queue", "DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain", "Properties": p}
	if len(w.statements) > 0 {
		c.resources[policyID(w.arn)] = object{"Type": "AWS::SQS::QueuePolicy", "Properties": object{
			"Queues":         []object{{"Ref": queueID(w.arn)}},
			"PolicyDocument": object{"Version": "2012-10-17", "Statement": w.statements},
		}}
	}
}

func (c *template) subscription(s *wantSub) {
	p := object{"Protocol": "sqs", "TopicArn": s.topic.String(), "Endpoint": s.queue.String(), attrRaw: s.raw}
	depends := []string{}
	if s.ownTopic {
		p["TopicArn"] = object{"Ref": topicID(s.topic)}
	} else {
		p["Region"] = s.topic.region
	}
	if s.ownQueue {
		p["Endpoint"] = arnOf(queueID(s.queue))
		depends = append(depends, policyID(s.queue))
	}
	if s.filter != "" {
		p[attrFilter], p[attrScope] = c.jsonValue(attrFilter, s.filter), s.scope
	}
	if s.dlq != "" {
		p[attrRedrive] = object{"deadLetterTargetArn": s.dlq}
		if dlq, ok := parseARN(s.dlq); ok && c.want.queue(dlq) != nil {
			p[attrRedrive] = object{"deadLetterTargetArn": arnOf(queueID(dlq))}
			depends = append(depends, policyID(dlq))
		}
	}
	r := object{"Type": "AWS::SNS::Subscription", "Properties": p}
	if len(depends) > 0 { // SNS does not try again what a queue refused
		r["DependsOn"] = depends
	}
	c.resources[logical("Subscription", s.topic.String()+" "+s.queue.String())] = r
}
