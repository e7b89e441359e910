package wire

import (
	"errors"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// entryError is one entry's failure inside a batch call that succeeded.
type entryError struct {
	code, message string
	senderFault   bool
}

func (e *entryError) Error() string { return e.code + ": " + e.message }

// errUnanswered is an entry that SQS named neither successful nor failed.
var errUnanswered = errors.New("SQS did not answer for this entry")

// Fault is what an error from SQS means for the runtime.
type Fault uint8

const (
	// Transient errors mend themselves: throttling, 5xx, broken connections,
	// timeouts and all that is not known better.
	Transient Fault = iota
	// Denied means access or KMS denied, credentials missing or expired. An operator
	// must act, or credentials be refreshed; trying goes on, slowly.
	Denied
	// Unsigned means that no credentials could be had. Whoever gives them may be
	// back soon, but until then trying is of little use.
	Unsigned
	// Missing means that the queue does not exist.
	Missing
	// Stale means that the receipt handle is no longer good, the message is not in flight,
	// or its 12 hours are over. Final for this hold, harmless for the consumer.
	Stale
	// OverLimit means too many messages in flight.
	OverLimit
	// Rejected means that the request itself is wrong, as for a message too large.
	Rejected
)

// Slow tells faults that call for the slow backoff and a red health at once.
func (f Fault) Slow() bool { return f == Denied || f == Unsigned || f == Missing }

// Final tells faults after which the same call with the same receipt is of no use.
func (f Fault) Final() bool { return f == Stale || f == Rejected }

// Classify says what an error of SQS means. Typed errors are matched by type,
// since their codes differ between AWS and emulators; strings serve only for what
// the SDK does not model.
func Classify(err error) Fault {
	var entry *entryError
	if errors.As(err, &entry) {
		f := codeFault(entry.code)
		if f == Transient && entry.senderFault && !strings.Contains(entry.code, "Throttl") {
			f = Rejected
		}
		return f
	}
	var (
		queueMissing *types.QueueDoesNotExist
		deleted      *types.QueueDeletedRecently
		address      *types.InvalidAddress
		handle       *types.ReceiptHandleIsInvalid
		inFlight     *types.MessageNotInflight
		over         *types.OverLimit
		security     *types.InvalidSecurity
		kmsDenied    *types.KmsAccessDenied
		kmsDisabled  *types.KmsDisabled
		kmsMissing   *types.KmsNotFound
		kmsState     *types.KmsInvalidState
		kmsUsage     *types.KmsInvalidKeyUsage
		kmsOptIn     *types.KmsOptInRequired
		contents     *types.InvalidMessageContents
		unsupported  *types.UnsupportedOperation
		tooLong      *types.BatchRequestTooLong
	)
	switch {
	case errors.As(err, &queueMissing), errors.As(err, &deleted), errors.As(err, &address):
		return Missing
	case errors.As(err, &handle), errors.As(err, &inFlight):
		return Stale
	case errors.As(err, &over):
		return OverLimit
	case errors.As(err, &security), errors.As(err, &kmsDenied), errors.As(err, &kmsDisabled), errors.As(err, &kmsMissing),
		errors.As(err, &kmsState), errors.As(err, &kmsUsage), errors.As(err, &kmsOptIn):
		return Denied
	case errors.As(err, &contents), errors.As(err, &unsupported), errors.As(err, &tooLong):
		return Rejected
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return codeFault(api.ErrorCode())
	}
	// Credentials that cannot be fetched: the SDK has no type for that.
	if errors.As(err, new(*v4.SigningError)) || strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "failed to retrieve credentials") {
		return Unsigned
	}
	return Transient
}

// codeFault classifies error codes that the SDK does not model for SQS, and those
// of batch entries, which it hands on as plain strings.
func codeFault(code string) Fault {
	code = code[strings.LastIndex(code, ".")+1:]
	switch code {
	case "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId",
		"UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
		"IncompleteSignatureException", "InvalidAccessKeyId", "MissingAuthenticationToken", "OptInRequired",
		"InvalidSecurityToken", "NotAuthorized", "MissingAuthenticationTokenException", "AuthFailure":
		return Denied
	case "NonExistentQueue", "QueueDoesNotExist":
		return Missing
	case "ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue", "InvalidParameterValueException":
		// The last: an expired handle, or more than what is left of the 12 hours.
		return Stale
	case "MissingParameter", "InvalidMessageContents", "ValidationException", "ValidationError":
		return Rejected
	}
	return Transient
}
