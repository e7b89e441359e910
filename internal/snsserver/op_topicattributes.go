package snsserver

import (
	"encoding/json"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// feedback is the attributes about logging deliveries: kept, without effect.
var feedback = regexp.MustCompile(`^(HTTP|Firehose|Lambda|Application|SQS)(SuccessFeedbackRoleArn|SuccessFeedbackSampleRate|FailureFeedbackRoleArn)$`)

// getTopicAttributes is GetTopicAttributes.
func (s *Server) getTopicAttributes(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	if err != nil {
		return err
	}
	all := s.topicAttributes(t)
	w.entries("Attributes", sortedKeys(all), all)
	return nil
}

// topicAttributes is all attributes of a topic, with their defaults where AWS
// tells these.
func (s *Server) topicAttributes(t *topic) map[string]string {
	confirmed, pending := t.counts()
	all := map[string]string{
		"TopicArn":                t.arn.String(),
		"Owner":                   t.owner,
		"DisplayName":             "",
		"Policy":                  defaultTopicPolicy(t),
		"EffectiveDeliveryPolicy": effectiveDeliveryPolicy,
		"SubscriptionsConfirmed":  strconv.Itoa(confirmed),
		"SubscriptionsPending":    strconv.Itoa(pending),
		"SubscriptionsDeleted":    strconv.Itoa(t.deleted),
	}
	if t.settings.fifo {
		all["FifoTopic"] = "true"
		all["ContentBasedDeduplication"] = "false"
		all["FifoThroughputScope"] = "Topic"
	}
	for name, value := range t.attributes {
		all[name] = value
	}
	return all
}

// effectiveDeliveryPolicy is how AWS retries HTTP endpoints. Nothing here
// depends on it; that of queues is fixed.
const effectiveDeliveryPolicy = `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}`

// setTopicAttributes is SetTopicAttributes.
func (s *Server) setTopicAttributes(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	if err != nil {
		return err
	}
	return s.setTopicAttribute(t, c.form.get("AttributeName"), c.form.get("AttributeValue"), false)
}

// setTopicAttribute checks and sets one attribute. creating is for CreateTopic,
// whose errors say so.
func (s *Server) setTopicAttribute(t *topic, name, value string, creating bool) error {
	prefix := "Invalid parameter: "
	if creating {
		prefix += "Attributes Reason: "
	}
	bad := func(format string, args ...any) error { return errParameter.with(prefix+format, args...) }
	onlyFIFO := func() error {
		if !t.settings.fifo {
			return bad("%s: can only be set on FIFO topics", name)
		}
		return nil
	}
	switch name {
	case "FifoTopic":
		if _, ok := boolean(value); !ok || !creating {
			return bad("AttributeName")
		}
		if !t.settings.fifo {
			return nil // AWS does not show it on standard topics
		}
	case "DisplayName":
		if utf8.RuneCountInString(value) > maxDisplayName {
			return bad("DisplayName: must be at most %d characters", maxDisplayName)
		}
	case "Policy":
		if value == "" {
			t.settings.policy = nil
			delete(t.attributes, name)
			return nil
		}
		p, err := parsePolicy(value)
		if err != nil {
			return bad("Policy Error: %v", err)
		}
		t.settings.policy = p
	case "DeliveryPolicy":
		if !json.Valid([]byte(value)) {
			return bad("DeliveryPolicy: failed to parse JSON.")
		}
	case "KmsMasterKeyId":
	case "TracingConfig":
		if value != "PassThrough" && value != "Active" {
			return bad("TracingConfig: Invalid value [%s]. Must be PassThrough or Active.", value)
		}
	case "SignatureVersion":
		if value != "1" && value != "2" {
			return bad("SignatureVersion: Invalid value [%s]. Must be 1 or 2.", value)
		}
		t.settings.signature = value
	case "MaximumMessageSize":
		n, err := strconv.Atoi(value)
		if err != nil || n < minMaxSize || n > maxMaxSize {
			return bad("MaximumMessageSize: Invalid value [%s]. Must be between %d and %d.", value, minMaxSize, maxMaxSize)
		}
		if n > defaultMaxSize && len(t.subs) > maxLargeSubs {
			return bad("MaximumMessageSize: a topic with more than %d subscriptions takes at most %d", maxLargeSubs, defaultMaxSize)
		}
		t.settings.maxSize = n
	case "ContentBasedDeduplication":
		if err := onlyFIFO(); err != nil {
			return err
		}
		on, ok := boolean(value)
		if !ok {
			return bad("ContentBasedDeduplication: Invalid value [%s]. Must be true or false.", value)
		}
		t.settings.contentDedup = on
		value = strconv.FormatBool(on)
	case "FifoThroughputScope":
		if err := onlyFIFO(); err != nil {
			return err
		}
		if value != "Topic" && value != "MessageGroup" {
			return bad("FifoThroughputScope: Invalid value [%s]. Must be Topic or MessageGroup.", value)
		}
		t.settings.groupScope = value == "MessageGroup"
	case "ArchivePolicy":
		return errUnsupported.with("ArchivePolicy is not supported: this server keeps no archive of messages.")
	default:
		if !feedback.MatchString(name) {
			return bad("AttributeName")
		}
	}
	t.attributes[name] = value
	return nil
}
