package snsserver

import (
	"fmt"
	"net/http"
)

// Error is a refusal as SNS words it. It travels as the reply of a whole request
// or, in batches, as one entry of Failed.
type Error struct {
	// Code is the error's name on the wire ("InvalidParameter").
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

// with returns the error with a text of its own.
func (e *Error) with(format string, args ...any) *Error {
	copied := *e
	copied.Message = fmt.Sprintf(format, args...)
	return &copied
}

// The errors of the service model, and of the query protocol, that this server
// uses. Their texts, where AWS has one for all occasions.
var (
	errParameter      = &Error{Code: "InvalidParameter", Status: 400}
	errParameterValue = &Error{Code: "ParameterValueInvalid", Status: 400}
	errValidation     = &Error{Code: "ValidationError", Status: 400}
	errAuthorization  = &Error{Code: "AuthorizationError", Status: 403}
	errNoTopic        = &Error{Code: "NotFound", Status: 404, Message: "Topic does not exist"}
	errNoSubscription = &Error{Code: "NotFound", Status: 404, Message: "Subscription does not exist"}
	errNoResource     = &Error{Code: "ResourceNotFound", Status: 404, Message: "Resource does not exist"}
	errTagLimit       = &Error{Code: "TagLimitExceeded", Status: 400, Message: "Could not complete request: tag quota of per resource exceeded"}
	errFilterLimit    = &Error{Code: "FilterPolicyLimitExceeded", Status: 403, Message: "Filter policy limit exceeded."}
	errBatchIDs       = &Error{Code: "BatchEntryIdsNotDistinct", Status: 400, Message: "Two or more batch entries in the request have the same Id."}
	errBatchTooLong   = &Error{Code: "BatchRequestTooLong", Status: 400, Message: "The length of all the messages put together is more than the limit."}
	errBatchEmpty     = &Error{Code: "EmptyBatchRequest", Status: 400, Message: "The batch request doesn't contain any entries."}
	errBatchID        = &Error{Code: "InvalidBatchEntryId", Status: 400, Message: "The Id of a batch entry in a batch request doesn't abide by the specification."}
	errBatchTooMany   = &Error{Code: "TooManyEntriesInBatchRequest", Status: 400, Message: "The batch request contains more entries than permissible."}

	errMissingAction = &Error{Code: "MissingAction", Status: 400}
	errInvalidAction = &Error{Code: "InvalidAction", Status: 400}
	errMalformed     = &Error{Code: "MalformedQueryString", Status: 400}
	errUnsupported   = &Error{Code: "UnsupportedOperation", Status: 400}
	errBodyTooSlow   = &Error{Code: "RequestTimeout", Status: http.StatusRequestTimeout}
	errBodyTooLarge  = &Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge}
)

// fault is the Type of the reply.
func (e *Error) fault() string {
	if e.Receiver {
		return "Receiver"
	}
	return "Sender"
}

// required refuses a request that lacks a parameter.
func required(parameter string) error {
	return errValidation.with("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", lowerFirst(parameter))
}

func lowerFirst(s string) string {
	if s == "" || s[0] < 'A' || s[0] > 'Z' {
		return s
	}
	return string(s[0]+'a'-'A') + s[1:]
}
