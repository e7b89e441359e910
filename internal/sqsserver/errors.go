package sqsserver

import (
	"fmt"
	"net/http"
)

// Error is a refusal as SQS words it. It travels as the reply of a whole
// request or, in batches, as one entry of Failed.
type Error struct {
	// Shape is the error's type in the service model ("QueueDoesNotExist"); for
	// errors outside the model, the name AWS sends ("InvalidParameterValueException").
	Shape string
	// Code is the error's name in the older query protocol. The SDK reports it
	// as ErrorCode; Failed entries carry it as Code.
	Code string
	// Status is the HTTP status.
	Status int
	// Message is the text for people.
	Message string
	// Receiver says that the service is at fault, not the sender.
	Receiver bool
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// with returns a copy of e with another message. The table below is shared by
// all servers and never written to.
func (e *Error) with(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// The errors of SQS, with status and query code as in the service model
// (aws.protocols#awsQueryError). Errors that the model lacks come last.
var (
	errBatchIDsNotDistinct = modelled("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400, "Two or more batch entries in the request have the same Id.")
	errBatchTooLong        = modelled("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400, "The length of all the messages put together is more than the limit.")
	errBatchEmpty          = modelled("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400, "There should be at least one entry in the request.")
	errBatchID             = modelled("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400, "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
	errBatchTooMany        = modelled("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400, "The batch request contains more entries than permissible.")
	errAttributeName       = modelled("InvalidAttributeName", "InvalidAttributeName", 400, "Unknown Attribute.")
	errAttributeValue      = modelled("InvalidAttributeValue", "InvalidAttributeValue", 400, "Invalid value for the parameter.")
	errAddress             = modelled("InvalidAddress", "InvalidAddress", 404, "The specified ID is invalid.")
	errContents            = modelled("InvalidMessageContents", "InvalidMessageContents", 400, "The message contains characters outside the allowed set.")
	errNotInflight         = modelled("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", 400, "The specified message isn't in flight.")
	errOverLimit           = modelled("OverLimit", "OverLimit", 403, "The specified action violates a limit: too many messages in flight.")
	errPurgeInProgress     = modelled("PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403, "Only one PurgeQueue operation is allowed every 60 seconds.")
	errDeletedRecently     = modelled("QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", 400, "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	errNoQueue             = modelled("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400, "The specified queue does not exist.")
	errQueueExists         = modelled("QueueNameExists", "QueueAlreadyExists", 400, "A queue with this name already exists.")
	errReceiptHandle       = modelled("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404, "The input receipt handle is invalid.")
	errNoResource          = modelled("ResourceNotFoundException", "ResourceNotFoundException", 404, "One or more specified resources don't exist.")
	errUnsupported         = modelled("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400, "Error code 400. Unsupported operation.")

	errParameter     = &Error{Shape: "InvalidParameterValueException", Code: "InvalidParameterValue", Status: 400}
	errMissing       = &Error{Shape: "MissingRequiredParameterException", Code: "MissingParameter", Status: 400}
	errAccessDenied  = &Error{Shape: "AccessDeniedException", Code: "AccessDenied", Status: 403, Message: "Access to the resource is denied."}
	errUnknownAction = &Error{Shape: "UnknownOperationException", Code: "InvalidAction", Status: 400}
	errSerialization = &Error{Shape: "SerializationException", Code: "MalformedInput", Status: 400}
	errContentType   = &Error{Shape: "UnsupportedMediaTypeException", Code: "UnsupportedMediaType", Status: http.StatusUnsupportedMediaType}
	errBodyTooSlow   = &Error{Shape: "RequestTimeoutException", Code: "RequestTimeout", Status: http.StatusRequestTimeout}
	errBodyTooLarge  = &Error{Shape: "RequestEntityTooLargeException", Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge}
)

func modelled(shape, code string, status int, message string) *Error {
	return &Error{Shape: shape, Code: code, Status: status, Message: message}
}

// typeName is the __type of the reply. AWS names the service of a modelled
// error and its framework's namespace for the rest; the SDK drops both.
func (e *Error) typeName() string {
	switch e.Shape {
	case errParameter.Shape, errMissing.Shape, errAccessDenied.Shape, errUnknownAction.Shape,
		errSerialization.Shape, errContentType.Shape, errBodyTooSlow.Shape, errBodyTooLarge.Shape:
		return "com.amazon.coral.service#" + e.Shape
	}
	return "com.amazonaws.sqs#" + e.Shape
}

// fault is the second half of the x-amzn-query-error header.
func (e *Error) fault() string {
	if e.Receiver {
		return "Receiver"
	}
	return "Sender"
}
