package snsserver

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// elsewhere is the protocols that this server has nothing to deliver by.
var elsewhere = map[string]bool{
	"http": true, "https": true, "email": true, "email-json": true, "sms": true,
	"application": true, "lambda": true, "firehose": true,
}

// subscribe is Subscribe.
func (s *Server) subscribe(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.open(c, "TopicArn")
	if err != nil {
		return err
	}
	fresh, asked, err := s.newSubscription(c, t)
	if err != nil {
		return err
	}
	sub := fresh
	for _, old := range t.subs {
		if old.endpoint != fresh.endpoint {
			continue
		}
		if sub = old; !sub.agrees(fresh, asked) {
			return errParameter.with("Invalid parameter: Attributes Reason: Subscription already exists with different attributes")
		}
	}
	if sub == fresh {
		if err := s.limits(t, sub); err != nil {
			return err
		}
		sub.serial = s.nextSerial()
		sub.arn = fmt.Sprintf("%s:00000000-0000-4000-c000-%012x", t.arn, sub.serial)
		t.subs = append(t.subs, sub)
		s.subs[sub.arn] = sub
	}
	switch {
	case !sub.pending:
	case c.id.account == sub.queue.account: // its owner asks again
		sub.pending, sub.authenticated = false, true
	default:
		s.requestConfirmation(sub)
	}
	if returnARN, _ := boolean(c.form.get("ReturnSubscriptionArn")); sub.pending && !returnARN {
		w.text("SubscriptionArn", pendingReply)
	} else {
		w.text("SubscriptionArn", sub.arn)
	}
	return nil
}

// newSubscription is the subscription that a request asks for, not yet part of
// the topic, and the names of the attributes that the request sets.
func (s *Server) newSubscription(c *call, t *topic) (sub *subscription, names []string, err error) {
	protocol, endpoint := c.form.get("Protocol"), c.form.get("Endpoint")
	switch {
	case protocol == "":
		return nil, nil, required("Protocol")
	case elsewhere[protocol]:
		return nil, nil, errParameter.with("Invalid parameter: Protocol Reason: %s is not supported: this server delivers to SQS queues only", protocol)
	case protocol != "sqs":
		return nil, nil, errParameter.with("Invalid parameter: Amazon SNS does not support this protocol string: %s", protocol)
	case endpoint == "":
		return nil, nil, errParameter.with("Invalid parameter: Endpoint Reason: no value for required parameter")
	}
	queue, ok := splitARN(endpoint)
	if !ok || queue.service != "sqs" || queue.region == "" || queue.account == "" || strings.Contains(queue.resource, ":") {
		return nil, nil, errParameter.with("Invalid parameter: SQS endpoint ARN")
	}
	if isFIFO(queue.resource) && !t.settings.fifo {
		return nil, nil, errParameter.with("Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
	}
	sub = &subscription{
		topic: t, endpoint: endpoint, queue: queue, owner: c.id.account, creator: c.id.principal(),
		attributes: make(map[string]string), scope: scopeAttributes,
		pending: c.id.account != queue.account,
	}
	sub.authenticated = !sub.pending
	// The scope comes first: it decides what the policy may look like.
	const prefix = "Invalid parameter: Attributes Reason: "
	var values map[string]string
	names, values = c.form.attributes()
	if scope, ok := values["FilterPolicyScope"]; ok {
		if err := sub.set("FilterPolicyScope", scope, prefix); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range names {
		if err := sub.set(name, values[name], prefix); err != nil {
			return nil, nil, err
		}
	}
	return sub, names, nil
}

// agrees tells whether a subscription has the attributes that a repeated
// Subscribe asks for. A scope without a policy makes no difference.
func (sub *subscription) agrees(with *subscription, names []string) bool {
	have, want := sub.all(), with.all()
	return !slices.ContainsFunc(names, func(name string) bool { return have[name] != want[name] })
}

// limits holds a new subscription against the quotas.
func (s *Server) limits(t *topic, sub *subscription) error {
	if t.settings.maxSize > defaultMaxSize && len(t.subs) >= maxLargeSubs {
		return errParameter.with("Invalid parameter: a topic with a MaximumMessageSize above %d takes at most %d subscriptions", defaultMaxSize, maxLargeSubs)
	}
	if sub.filter != nil {
		return s.filterLimits(t)
	}
	return nil
}

// filterLimits refuses one filter policy more than a topic or an account may
// have.
func (s *Server) filterLimits(t *topic) error {
	if t.filters() >= maxFilterTopic {
		return errFilterLimit
	}
	all := 0
	for _, sub := range s.subs {
		if sub.filter != nil && sub.topic.owner == t.owner {
			all++
		}
	}
	if all >= maxFilterAccount {
		return errFilterLimit
	}
	return nil
}

// requestConfirmation sends the queue a token.
func (s *Server) requestConfirmation(sub *subscription) {
	now := time.Now()
	if sub.token != "" {
		delete(s.tokens, sub.token)
	}
	sub.token = fmt.Sprintf("2336412f37%0246x", s.nextSerial())
	sub.expires = now.Add(confirmWithin)
	s.tokens[sub.token] = sub
	s.deliver(s.confirmation(sub, now), sub, now)
}

// confirmSubscription is ConfirmSubscription, also by visiting the SubscribeURL.
func (s *Server) confirmSubscription(c *call, w *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	topicARN := c.form.get("TopicArn")
	a, err := readARN("TopicArn", topicARN)
	// A visit of the SubscribeURL is not signed, so it is of no region.
	if err != nil || c.id.accessKey != "" && a.region != c.id.region {
		return errParameter.with("Invalid parameter: Topic")
	}
	if err := s.ask(c, topicARN); err != nil {
		return err
	}
	if c.form.get("Token") == "" {
		return required("Token")
	}
	sub := s.tokens[c.form.get("Token")]
	switch {
	case sub == nil, sub.pending && !time.Now().Before(sub.expires):
		return errParameter.with("Invalid parameter: Token")
	case sub.topic.arn.String() != topicARN:
		return errParameter.with("Invalid parameter: Topic")
	}
	if sub.pending { // confirming twice is fine
		sub.pending = false
		sub.authenticated = c.id.accessKey != ""
		sub.onlySigned, _ = boolean(c.form.get("AuthenticateOnUnsubscribe"))
	}
	w.text("SubscriptionArn", sub.arn)
	return nil
}

// unsubscribe is Unsubscribe, also by visiting the UnsubscribeURL. Ending a
// subscription that is not there succeeds.
func (s *Server) unsubscribe(c *call, _ *xmlWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	value := c.form.get("SubscriptionArn")
	if err := readSubscriptionARN(value); err != nil {
		return err
	}
	sub := s.subs[value]
	switch {
	case sub == nil:
		return nil
	case c.id.accessKey == "" && sub.onlySigned:
		return errAuthorization.with("The subscription is confirmed with AuthenticateOnUnsubscribe: the request must be signed")
	case c.id.accessKey != "":
		if err := s.allowSubscription(c, sub); err != nil {
			return err
		}
	}
	s.remove(sub)
	return nil
}

// readSubscriptionARN checks the form of a SubscriptionArn: that of its topic,
// and an id.
func readSubscriptionARN(value string) error {
	a, err := readARN("SubscriptionArn", value)
	if err != nil {
		return err
	}
	if !strings.Contains(a.resource, ":") {
		return errParameter.with("Invalid parameter: SubscriptionId")
	}
	return nil
}
