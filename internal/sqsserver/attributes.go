package sqsserver

import (
	"strconv"
	"time"
)

// settings are a queue's attributes that its owner may set.
type settings struct {
	delay      time.Duration
	retention  time.Duration
	visibility time.Duration
	wait       time.Duration
	maxSize    int

	redrive      *redrivePolicy
	redriveText  string
	redriveAllow string
	policy       string
	access       *policy // what policy says, nil without one

	fifo         bool
	contentDedup bool
	dedupScope   string // "queue" or "messageGroup"
	throughput   string // "perQueue" or "perMessageGroupId"

	kmsKey   string
	kmsReuse time.Duration
	sqsSSE   bool
}

func defaultSettings() settings {
	return settings{
		retention:  4 * 24 * time.Hour,
		visibility: 30 * time.Second,
		maxSize:    maxMessageSize,
		dedupScope: "queue",
		throughput: "perQueue",
		kmsReuse:   5 * time.Minute,
		sqsSSE:     true,
	}
}

// attributeSpec is one attribute of the table below.
type attributeSpec struct {
	name string
	// set reads the attribute's text into st; false refuses it. nil: read-only.
	set func(st *settings, text string) bool
	// get writes it; an empty text is left out of replies.
	get func(q *queue) string
	// fifoOnly attributes do not exist on standard queues.
	fifoOnly bool
}

// attributeTable is every queue attribute, in the order of the API reference.
var attributeTable = []attributeSpec{
	{name: "Policy",
		set: setPolicy,
		get: func(q *queue) string { return q.settings.policy }},
	{name: "VisibilityTimeout",
		set: func(st *settings, v string) bool { return setSeconds(&st.visibility, v, 0, 43200) },
		get: func(q *queue) string { return seconds(q.settings.visibility) }},
	{name: "MaximumMessageSize",
		set: func(st *settings, v string) bool { return setInt(&st.maxSize, v, 1024, maxMessageSize) },
		get: func(q *queue) string { return strconv.Itoa(q.settings.maxSize) }},
	{name: "MessageRetentionPeriod",
		set: func(st *settings, v string) bool { return setSeconds(&st.retention, v, 60, 1209600) },
		get: func(q *queue) string { return seconds(q.settings.retention) }},
	{name: "ApproximateNumberOfMessages",
		get: func(q *queue) string { return strconv.Itoa(q.visible()) }},
	{name: "ApproximateNumberOfMessagesNotVisible",
		get: func(q *queue) string { return strconv.Itoa(q.inFlight) }},
	{name: "CreatedTimestamp",
		get: func(q *queue) string { return strconv.FormatInt(q.created.Unix(), 10) }},
	{name: "LastModifiedTimestamp",
		get: func(q *queue) string { return strconv.FormatInt(q.modified.Unix(), 10) }},
	{name: "QueueArn",
		get: func(q *queue) string { return q.arn }},
	{name: "ApproximateNumberOfMessagesDelayed",
		get: func(q *queue) string { return strconv.Itoa(q.delayed) }},
	{name: "DelaySeconds",
		set: func(st *settings, v string) bool { return setSeconds(&st.delay, v, 0, 900) },
		get: func(q *queue) string { return seconds(q.settings.delay) }},
	{name: "ReceiveMessageWaitTimeSeconds",
		set: func(st *settings, v string) bool { return setSeconds(&st.wait, v, 0, 20) },
		get: func(q *queue) string { return seconds(q.settings.wait) }},
	{name: "RedrivePolicy",
		set: setRedrivePolicy,
		get: func(q *queue) string { return q.settings.redriveText }},
	{name: "FifoQueue", fifoOnly: true,
		set: func(st *settings, v string) bool { return setBool(&st.fifo, v) },
		get: func(q *queue) string { return boolText(q.settings.fifo) }},
	{name: "ContentBasedDeduplication", fifoOnly: true,
		set: func(st *settings, v string) bool { return setBool(&st.contentDedup, v) },
		get: func(q *queue) string { return boolText(q.settings.contentDedup) }},
	{name: "KmsMasterKeyId",
		set: func(st *settings, v string) bool { st.kmsKey = v; return true },
		get: func(q *queue) string { return q.settings.kmsKey }},
	{name: "KmsDataKeyReusePeriodSeconds",
		set: func(st *settings, v string) bool { return setSeconds(&st.kmsReuse, v, 60, 86400) },
		get: func(q *queue) string {
			if q.settings.kmsKey == "" {
				return ""
			}
			return seconds(q.settings.kmsReuse)
		}},
	{name: "DeduplicationScope", fifoOnly: true,
		set: func(st *settings, v string) bool { return setOneOf(&st.dedupScope, v, "queue", "messageGroup") },
		get: func(q *queue) string { return q.settings.dedupScope }},
	{name: "FifoThroughputLimit", fifoOnly: true,
		set: func(st *settings, v string) bool { return setOneOf(&st.throughput, v, "perQueue", "perMessageGroupId") },
		get: func(q *queue) string { return q.settings.throughput }},
	{name: "RedriveAllowPolicy",
		set: setRedriveAllowPolicy,
		get: func(q *queue) string { return q.settings.redriveAllow }},
	{name: "SqsManagedSseEnabled",
		set: func(st *settings, v string) bool { return setBool(&st.sqsSSE, v) },
		get: func(q *queue) string { return boolText(q.settings.sqsSSE) }},
}

var attributeByName = func() map[string]*attributeSpec {
	m := make(map[string]*attributeSpec, len(attributeTable))
	for i := range attributeTable {
		m[attributeTable[i].name] = &attributeTable[i]
	}
	return m
}()

// apply sets attributes on st, or names the first that is wrong. creating
// allows FifoQueue, which no later call may change.
func (st *settings) apply(attrs map[string]string, creating bool) *Error {
	if v, ok := attrs["FifoQueue"]; ok {
		if !creating && v != strconv.FormatBool(st.fifo) {
			return errAttributeName.with("You cannot change the attribute FifoQueue of a queue.")
		}
		// AWS has no standard queue that says FifoQueue=false.
		if v != "true" && !st.fifo {
			return errAttributeValue.with("Invalid value for the parameter FifoQueue.")
		}
		st.fifo = true
	}
	for _, name := range sortedKeys(attrs) {
		spec := attributeByName[name]
		switch {
		case spec == nil || spec.set == nil:
			return errAttributeName.with("Unknown Attribute %s.", name)
		case spec.fifoOnly && !st.fifo:
			return errAttributeName.with("Unknown Attribute %s.", name)
		case !spec.set(st, attrs[name]):
			return errAttributeValue.with("Invalid value for the parameter %s.", name)
		}
	}
	if st.throughput == "perMessageGroupId" && st.dedupScope != "messageGroup" {
		return errAttributeValue.with("The perMessageGroupId value of FifoThroughputLimit needs DeduplicationScope to be messageGroup.")
	}
	if st.kmsKey != "" {
		if attrs["SqsManagedSseEnabled"] == "true" {
			return errAttributeValue.with("You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.")
		}
		st.sqsSSE = false
	}
	return nil
}

// maxPolicy is the longest access policy, in bytes (AWS, "Amazon SQS policy
// quotas").
const maxPolicy = 8 << 10

// setPolicy takes an empty text as "no policy", as AWS does.
func setPolicy(st *settings, text string) bool {
	st.policy, st.access = text, nil
	if text == "" {
		return true
	}
	p, err := parsePolicy(text, true)
	st.access = p
	return err == nil && len(text) <= maxPolicy
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func boolText(b bool) string { return strconv.FormatBool(b) }

func setInt(to *int, text string, low, high int) bool {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return false
	}
	*to = n
	return true
}

func setSeconds(to *time.Duration, text string, low, high int) bool {
	var n int
	if !setInt(&n, text, low, high) {
		return false
	}
	*to = time.Duration(n) * time.Second
	return true
}

func setBool(to *bool, text string) bool {
	*to = text == "true"
	return text == "true" || text == "false"
}

func setOneOf(to *string, text string, values ...string) bool {
	for _, v := range values {
		if text == v {
			*to = v
			return true
		}
	}
	return false
}
