package conformance

// LocalStackDepartures is where LocalStack 4.13.1 does otherwise than AWS documents, by
// case. It is checked by every run on LocalStack.
func LocalStackDepartures() []Departure {
	var all []Departure
	for _, group := range append(localStackDepartures(), localStackSNSDepartures()...) {
		for _, name := range group.cases {
			all = append(all, Departure{Case: name, Shows: group.shows, Reason: group.reason})
		}
	}
	return all
}

// LocalStackAlone are the cases after which LocalStack keeps a RedrivePolicy that it
// cannot read; as long as the queue is there, move tasks and lists of source queues fail
// for everybody.
func LocalStackAlone() []string {
	return []string{
		"RedrivePolicy/refuses what is not JSON",
		"RedrivePolicy/refuses a target that is no ARN",
	}
}

// departures are cases with one reason, which show the same.
type departures struct {
	reason string
	shows  string
	cases  []string
}

func localStackDepartures() []departures {
	return []departures{
		{
			reason: "numbers among the attributes of queues are kept unchecked",
			shows:  "accepted, want InvalidAttributeValue",
			cases: []string{
				"CreateQueue/refuses a DelaySeconds below the lowest",
				"CreateQueue/refuses a DelaySeconds above the highest",
				"CreateQueue/refuses a DelaySeconds that is no number",
				"CreateQueue/refuses a KmsDataKeyReusePeriodSeconds below the lowest",
				"CreateQueue/refuses a KmsDataKeyReusePeriodSeconds above the highest",
				"CreateQueue/refuses a KmsDataKeyReusePeriodSeconds that is no number",
				"CreateQueue/refuses a MaximumMessageSize below the lowest",
				"CreateQueue/refuses a MaximumMessageSize above the highest",
				"CreateQueue/refuses a MaximumMessageSize that is no number",
				"CreateQueue/refuses a MessageRetentionPeriod below the lowest",
				"CreateQueue/refuses a MessageRetentionPeriod above the highest",
				"CreateQueue/refuses a MessageRetentionPeriod that is no number",
				"CreateQueue/refuses a ReceiveMessageWaitTimeSeconds below the lowest",
				"CreateQueue/refuses a ReceiveMessageWaitTimeSeconds above the highest",
				"CreateQueue/refuses a ReceiveMessageWaitTimeSeconds that is no number",
				"CreateQueue/refuses a VisibilityTimeout below the lowest",
				"CreateQueue/refuses a VisibilityTimeout above the highest",
				"CreateQueue/refuses a VisibilityTimeout that is no number",
				"SetQueueAttributes/refuses a DelaySeconds below the lowest",
				"SetQueueAttributes/refuses a DelaySeconds above the highest",
				"SetQueueAttributes/refuses a DelaySeconds that is no number",
				"SetQueueAttributes/refuses a KmsDataKeyReusePeriodSeconds below the lowest",
				"SetQueueAttributes/refuses a KmsDataKeyReusePeriodSeconds above the highest",
				"SetQueueAttributes/refuses a KmsDataKeyReusePeriodSeconds that is no number",
				"SetQueueAttributes/refuses a MaximumMessageSize below the lowest",
				"SetQueueAttributes/refuses a MaximumMessageSize above the highest",
				"SetQueueAttributes/refuses a MaximumMessageSize that is no number",
				"SetQueueAttributes/refuses a MessageRetentionPeriod below the lowest",
				"SetQueueAttributes/refuses a MessageRetentionPeriod above the highest",
				"SetQueueAttributes/refuses a MessageRetentionPeriod that is no number",
				"SetQueueAttributes/refuses a ReceiveMessageWaitTimeSeconds below the lowest",
				"SetQueueAttributes/refuses a ReceiveMessageWaitTimeSeconds above the highest",
				"SetQueueAttributes/refuses a ReceiveMessageWaitTimeSeconds that is no number",
				"SetQueueAttributes/refuses a VisibilityTimeout below the lowest",
				"SetQueueAttributes/refuses a VisibilityTimeout above the highest",
				"SetQueueAttributes/refuses a VisibilityTimeout that is no number",
			},
		},
		{
			reason: "values of other attributes are kept unchecked",
			shows:  "accepted, want InvalidAttributeValue",
			cases: []string{
				"SetQueueAttributes/refuses a ContentBasedDeduplication that is no boolean",
				"SetQueueAttributes/refuses a policy that is not JSON",
				"SetQueueAttributes/refuses an unknown DeduplicationScope",
				"SetQueueAttributes/refuses an unknown FifoThroughputLimit",
			},
		},
		{
			reason: "attributes are not held against each other",
			shows:  "accepted, want a refusal",
			cases: []string{
				"SetQueueAttributes/refuses both kinds of encryption at once",
				"SetQueueAttributes/refuses perMessageGroupId while deduplication is by queue",
			},
		},
		{
			reason: "KmsMasterKeyId leaves SQS-managed encryption on",
			shows:  "\"true\"",
			cases: []string{
				"SetQueueAttributes/sets KmsMasterKeyId and ends SQS-managed encryption",
			},
		},
		{
			reason: "KmsDataKeyReusePeriodSeconds has no default",
			shows:  "\"300\"",
			cases: []string{
				"CreateQueue/has a KmsDataKeyReusePeriodSeconds of 300 where none is given",
			},
		},
		{
			reason: "a deleted name may be used again at once (unless SQS_DELAY_RECENTLY_DELETED is set)",
			shows:  "accepted, want QueueDeletedRecently",
			cases: []string{
				"CreateQueue/refuses a name that was deleted less than 60 s ago",
			},
		},
		{
			reason: "a queue may be purged again at once (unless SQS_DELAY_PURGE_RETRY is set)",
			shows:  "accepted, want PurgeQueueInProgress",
			cases: []string{
				"PurgeQueue/refuses a second purge within 60 s",
			},
		},
		{
			reason: "MaxResults is not checked",
			shows:  "accepted, want a refusal",
			cases: []string{
				"ListQueues/refuses pages of more than 1,000",
			},
		},
		{
			reason: "VisibilityTimeout, DelaySeconds and negative numbers of messages are not checked",
			shows:  "accepted, want InvalidParameterValue",
			cases: []string{
				"ChangeMessageVisibility/refuses 43,201 s",
				"ChangeMessageVisibility/refuses a negative timeout",
				"ReceiveMessage/refuses a VisibilityTimeout of 43,201",
				"ReceiveMessage/refuses a negative VisibilityTimeout",
				"ReceiveMessage/refuses a negative MaxNumberOfMessages",
				"SendMessage/refuses a delay of 901 s",
				"SendMessage/refuses a negative delay",
			},
		},
		{
			reason: "the same in batches: the entry is applied",
			shows:  "2 successful, 0 failed",
			cases: []string{
				"ChangeMessageVisibilityBatch/fails an entry with a timeout beyond 12 h and changes the others",
				"SendMessageBatch/fails one entry and sends the others",
			},
		},
		{
			reason: "a message may be held for longer than 12 h in all",
			shows:  "accepted, want InvalidParameterValue",
			cases: []string{
				"ChangeMessageVisibility/refuses more than 12 h from the receive in all",
			},
		},
		{
			reason: "a message that is visible again is hidden by its old handle",
			shows:  "accepted, want MessageNotInflight",
			cases: []string{
				"ChangeMessageVisibility/refuses a message that is not in flight any more",
			},
		},
		{
			reason: "an invalid handle in a batch is said to be no fault of the sender",
			shows:  "bool(false)",
			cases: []string{
				"DeleteMessageBatch/fails an entry with a made-up handle and deletes the others",
			},
		},
		{
			reason: "ReceiveRequestAttemptId is ignored: the repeated receive brings nothing",
			shows:  "nil",
			cases: []string{
				"FIFO/repeats a receive of the same ReceiveRequestAttemptId",
			},
		},
		{
			reason: "ReceiveRequestAttemptId is ignored and not checked",
			shows:  "accepted, want InvalidParameterValue",
			cases: []string{
				"FIFO/refuses a ReceiveRequestAttemptId of 129 characters",
			},
		},
		{
			reason: "message attributes are checked in part only: not their number, double periods, numbers, empty binaries",
			shows:  "accepted, want InvalidParameterValue",
			cases: []string{
				"MessageAttributes/may not be eleven",
				"MessageAttributes/refuse a name with two periods in a row",
				"MessageAttributes/refuse a number that is none",
				"MessageAttributes/refuse an empty binary",
			},
		},
		{
			reason: "names of message attributes end at 255 characters",
			shows:  "must be shorter than 256 Bytes",
			cases: []string{
				"MessageAttributes/take a name of 256 characters",
			},
		},
		{
			reason: "bar.* brings every attribute that begins with bar, without the period",
			shows:  "barn among them: true",
			cases: []string{
				"MessageAttributes/come by prefix",
			},
		},
		{
			reason: "any system attribute may be sent",
			shows:  "accepted, want InvalidParameterValue",
			cases: []string{
				"SendMessage/refuses system attributes other than the trace header",
			},
		},
		{
			reason: "any system attribute may be asked for",
			shows:  "accepted, want a refusal",
			cases: []string{
				"ReceiveMessage/refuses an unknown system attribute",
			},
		},
		{
			reason: "RedriveAllowPolicy is kept unchecked and not enforced",
			shows:  "accepted, want a refusal",
			cases: []string{
				"RedriveAllowPolicy/denies all",
				"RedriveAllowPolicy/denies the queues it does not name",
				"RedriveAllowPolicy/refuses an unknown permission",
				"RedriveAllowPolicy/refuses what is not JSON",
			},
		},
		{
			reason: "the target of a RedrivePolicy is not checked",
			shows:  "accepted, want a refusal",
			cases: []string{
				"RedrivePolicy/refuses a FIFO dead-letter queue of a standard queue",
				"RedrivePolicy/refuses a standard dead-letter queue of a FIFO queue",
				"RedrivePolicy/refuses a target that is no ARN",
				"RedrivePolicy/refuses a target that is not there",
			},
		},
		{
			reason: "a FIFO message keeps its deduplication id on the dead-letter queue",
			shows:  "\"order-7\"",
			cases: []string{
				"DeadLetter/replaces the deduplication id by the message id",
			},
		},
		{
			reason: "a RedrivePolicy that is not JSON is an internal error",
			shows:  "is said to be the server's fault",
			cases: []string{
				"RedrivePolicy/refuses what is not JSON",
			},
		},
		{
			reason: "the length of labels is not checked",
			shows:  "accepted, want a refusal",
			cases: []string{
				"AddPermission/refuses a label of 81 characters",
			},
		},
		{
			reason: "numbers of move tasks are not checked",
			shows:  "accepted, want a refusal",
			cases: []string{
				"ListMessageMoveTasks/refuses more than 10",
				"StartMessageMoveTask/refuses more than 500 messages per second",
			},
		},
		{
			reason: "messages that a task moved keep their ids",
			shows:  "the same id",
			cases: []string{
				"StartMessageMoveTask/gives messages a new id",
			},
		},
	}
}
