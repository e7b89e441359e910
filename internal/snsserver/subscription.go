package snsserver

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// confirmWithin is for how long a subscription can be confirmed.
const confirmWithin = 48 * time.Hour

// pendingText stands in replies where the ARN of an unconfirmed subscription
// would stand.
const (
	pendingReply = "pending confirmation"
	pendingList  = "PendingConfirmation"
)

// subscription is a queue's subscription to a topic.
type subscription struct {
	arn      string
	topic    *topic
	serial   uint64
	endpoint string // the queue's ARN
	queue    arn
	owner    string
	creator  string // SubscriptionPrincipal

	pending       bool
	expires       time.Time // of pending
	token         string    // of the newest confirmation
	authenticated bool      // ConfirmationWasAuthenticated
	onlySigned    bool      // AuthenticateOnUnsubscribe

	attributes map[string]string // as they were set
	raw        bool
	scope      string // FilterPolicyScope
	filter     *filter
	deadLetter string // ARN of the dead-letter queue

	gone  bool
	lanes map[string]*lane // FIFO: the groups that are not through

	admission admission
}

// subscriptionAttributes is what Subscribe and SetSubscriptionAttributes set.
var subscriptionAttributes = map[string]func(sub *subscription, value string) error{
	"RawMessageDelivery": (*subscription).setRaw,
	"FilterPolicyScope":  (*subscription).setScope,
	"FilterPolicy":       (*subscription).setFilter,
	"RedrivePolicy":      (*subscription).setRedrive,
	"DeliveryPolicy":     (*subscription).setDelivery,
}

// set checks and sets one attribute; prefix begins the text of an error.
func (sub *subscription) set(name, value, prefix string) error {
	apply := subscriptionAttributes[name]
	switch {
	case name == "ReplayPolicy":
		return errUnsupported.with("ReplayPolicy is not supported: this server keeps no archive of messages.")
	case apply == nil:
		return errParameter.with("%sAttributeName", prefix)
	}
	if err := apply(sub, value); err != nil {
		return errParameter.with("%s%v", prefix, err)
	}
	return nil
}

// problem is an error whose text set completes.
type problem string

func (p problem) Error() string { return string(p) }

func (sub *subscription) setRaw(value string) error {
	on, ok := boolean(value)
	if !ok {
		return problem("RawMessageDelivery: Invalid value [" + value + "]. Must be true or false.")
	}
	sub.raw = on
	sub.attributes["RawMessageDelivery"] = strconv.FormatBool(on)
	return nil
}

func (sub *subscription) setScope(value string) error {
	if value != scopeAttributes && value != scopeBody {
		return problem("FilterPolicyScope: Invalid value [" + value + "]. Please use either MessageBody or MessageAttributes")
	}
	if sub.filter != nil {
		f, err := parseFilter(sub.attributes["FilterPolicy"], value)
		if err != nil {
			return err
		}
		sub.filter = f
	}
	sub.scope = value
	return nil
}

func (sub *subscription) setFilter(value string) error {
	if value == "" {
		sub.filter = nil
		delete(sub.attributes, "FilterPolicy")
		return nil
	}
	f, err := parseFilter(value, sub.scope)
	if err != nil {
		return err
	}
	sub.filter = f
	sub.attributes["FilterPolicy"] = value
	return nil
}

func (sub *subscription) setRedrive(value string) error {
	if value == "" || value == "{}" {
		sub.deadLetter = ""
		delete(sub.attributes, "RedrivePolicy")
		return nil
	}
	var redrive struct {
		Target *string `json:"deadLetterTargetArn"`
	}
	if err := json.Unmarshal([]byte(value), &redrive); err != nil {
		return problem("RedrivePolicy: failed to parse JSON.")
	}
	if redrive.Target == nil {
		return problem("RedrivePolicy: deadLetterTargetArn is required")
	}
	target, ok := splitARN(*redrive.Target)
	switch {
	case !ok || target.service != "sqs":
		return problem("RedrivePolicy: deadLetterTargetArn is an invalid arn")
	case target.account != sub.owner || target.region != sub.topic.arn.region:
		return problem("RedrivePolicy: the dead-letter queue must be in the account and the region of the subscription")
	case isFIFO(sub.endpoint) && !isFIFO(target.resource):
		return problem("RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")
	case !isFIFO(sub.endpoint) && isFIFO(target.resource):
		return problem("RedrivePolicy: must use a standard queue as DLQ for a subscription of a standard queue")
	}
	sub.deadLetter = *redrive.Target
	sub.attributes["RedrivePolicy"] = value
	return nil
}

// setDelivery takes a DeliveryPolicy: it says how HTTP endpoints are retried, and
// queues are not.
func (sub *subscription) setDelivery(value string) error {
	if !json.Valid([]byte(value)) {
		return problem("DeliveryPolicy: failed to parse JSON.")
	}
	sub.attributes["DeliveryPolicy"] = value
	return nil
}

// all is the attributes as GetSubscriptionAttributes tells them.
func (sub *subscription) all() map[string]string {
	all := map[string]string{
		"SubscriptionArn":              sub.arn,
		"TopicArn":                     sub.topic.arn.String(),
		"Endpoint":                     sub.endpoint,
		"Protocol":                     "sqs",
		"Owner":                        sub.owner,
		"PendingConfirmation":          strconv.FormatBool(sub.pending),
		"ConfirmationWasAuthenticated": strconv.FormatBool(sub.authenticated),
		"RawMessageDelivery":           "false",
		"SubscriptionPrincipal":        sub.creator,
	}
	for name, value := range sub.attributes {
		all[name] = value
	}
	if sub.filter != nil {
		all["FilterPolicyScope"] = sub.scope // AWS shows it with a policy only
	}
	return all
}

// remove takes a subscription out of its topic. What is on its way to the queue
// ends with it.
func (s *Server) remove(sub *subscription) {
	sub.gone = true
	delete(s.subs, sub.arn)
	if sub.token != "" {
		delete(s.tokens, sub.token)
	}
	t := sub.topic
	t.deleted++
	t.subs = slices.DeleteFunc(t.subs, func(other *subscription) bool { return other == sub })
}
