package conformance

func localStackSNSDepartures() []departures {
	return []departures{
		{
			reason: "attributes of topics are kept unchecked",
			shows:  "accepted, want InvalidParameterException",
			cases: []string{
				"CreateTopic/refuses an unknown attribute",
				"SetTopicAttributes/refuses a ContentBasedDeduplication on a standard topic",
				"SetTopicAttributes/refuses a DisplayName of 101 characters",
				"SetTopicAttributes/refuses a MaximumMessageSize of 1 MiB and 1",
				"SetTopicAttributes/refuses a MaximumMessageSize of 1,023",
				"SetTopicAttributes/refuses a SignatureVersion of 3",
				"SetTopicAttributes/refuses an unknown attribute",
			},
		},
		{
			reason: "a topic's attributes are not compared when it is created again",
			shows:  "accepted, want InvalidParameterException",
			cases: []string{
				"CreateTopic/refuses a name that is taken, with other attributes",
			},
		},
		{
			reason: "a Policy that is not JSON is an internal error",
			shows:  "refused with InternalErrorException",
			cases: []string{
				"SetTopicAttributes/refuses a Policy that is not JSON",
			},
		},
		{
			reason: "MaximumMessageSize of a topic is not known",
			shows:  "\"1048576\"",
			cases: []string{
				"SetTopicAttributes/sets MaximumMessageSize",
			},
		},
		{
			reason: "MaximumMessageSize of a topic is not enforced",
			shows:  "accepted, want InvalidParameterException",
			cases: []string{
				"Publish/takes a message of as many bytes as MaximumMessageSize says, and no more",
			},
		},
		{
			reason: "TracingConfig does not come back",
			shows:  "\"Active\"",
			cases: []string{
				"SetTopicAttributes/sets TracingConfig",
			},
		},
		{
			reason: "SubscriptionsConfirmed stays 0",
			shows:  "SubscriptionsConfirmed",
			cases: []string{
				"GetTopicAttributes/counts subscriptions",
			},
		},
		{
			reason: "subjects, MessageStructure, numbers and reserved names of attributes are not checked",
			shows:  "accepted, want InvalidParameterException",
			cases: []string{
				"Publish/refuses a number that is none",
				"Publish/refuses a subject of 101 characters",
				"Publish/refuses a subject of two lines",
				"Publish/refuses an attribute whose name begins with AWS.",
				"Publish/refuses an unknown MessageStructure",
			},
		},
		{
			reason: "MessageGroupId and MessageDeduplicationId of a topic are not checked",
			shows:  "accepted, want InvalidParameterException",
			cases: []string{
				"PublishFIFO/refuses a deduplication id of 129 characters",
				"PublishFIFO/refuses a group of 129 characters",
				"PublishFIFO/refuses a group with a space",
			},
		},
		{
			reason: "an empty batch is an internal error",
			shows:  "refused with InternalErrorException",
			cases: []string{
				"PublishBatch/refuses an empty batch",
			},
		},
		{
			reason: "one entry that is wrong fails the whole batch",
			shows:  "JSON message body failed to parse",
			cases: []string{
				"PublishBatch/fails one entry and publishes the others",
			},
		},
		{
			reason: "more than ten attributes are delivered raw",
			shows:  `"eleven"`,
			cases: []string{
				"Raw/discards a message of eleven attributes",
			},
		},
		{
			reason: "a filter policy that is a list is an internal error",
			shows:  "refused with InternalErrorException",
			cases: []string{
				"FilterPolicy/refuses a list",
			},
		},
		{
			reason: "filter policies know no wildcard",
			shows:  "Unrecognized match type wildcard",
			cases: []string{
				"Filter/keeps back what does not fit a wildcard",
				"Filter/lets pass a wildcard",
			},
		},
		{
			reason: "anything-but knows prefixes only",
			shows:  "Unsupported anything-but pattern",
			cases: []string{
				"Filter/keeps back the suffix of anything-but",
				"Filter/keeps back the wildcard of anything-but",
			},
		},
		{
			reason: "a number in a list is not equal to an attribute of type Number",
			shows:  "received 1 messages, the first",
			cases: []string{
				"Filter/keeps back a number of an anything-but list",
			},
		},
		{
			reason: "a number in a list is not equal to an attribute of type Number",
			shows:  "received 0 messages, want 1",
			cases: []string{
				"Filter/lets pass a number that is in the list",
			},
		},
		{
			reason: "policies of queues are not enforced",
			shows:  "received 1 messages, the first",
			cases: []string{
				"Delivery/is refused by a policy for another action",
				"Delivery/is refused by a policy for another service",
				"Delivery/is refused by a policy for another topic",
				"Delivery/is refused by a queue without a policy",
			},
		},
		{
			reason: "policies of queues are not enforced: there is nothing to dead-letter",
			shows:  "received 0 messages, want 1",
			cases: []string{
				"SubscriptionDLQ/gets what a queue refused that has no policy",
			},
		},
	}
}
