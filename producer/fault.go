package producer

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// fault is what an error of SQS or SNS means for a message.
type fault uint8

const (
	// throttled: the request was not applied, and will be some other time.
	throttled fault = iota
	// unsent: the request did not reach the service, and may some other time.
	unsent
	// lost: whether it was applied is not known. Broken connections, timeouts, 5xx.
	lost
	// unready: the client cannot make the request, and never will.
	unready
	// denied: an operator must act.
	denied
	// missing: the target does not exist.
	missing
	// rejected: the request itself is wrong.
	rejected
)

// again tells whether to try again.
func (f fault) again() bool { return f == throttled || f == unsent || f == lost }

// unsentError is of a call that surely has not reached the service.
type unsentError struct {
	err   error
	again bool // it may some other time
}

func (e *unsentError) Error() string { return e.err.Error() }

func (e *unsentError) Unwrap() error { return e.err }

// passes tells whether what kept the client from making a request may pass. What is not
// known to last may: a try in vain costs time, a final answer to a short outage messages.
// No request was made, so that replies in err are of those who give credentials.
func passes(err error) bool {
	if sdkRetries.IsErrorRetryable(err) == aws.TrueTernary {
		return true
	}
	if is[*smithy.SerializationError](err) || is[*smithy.InvalidParamsError](err) || is[*v4.SigningError](err) ||
		slices.ContainsFunc(lasting, func(text string) bool { return strings.Contains(err.Error(), text) }) {
		return false
	}
	var api smithy.APIError
	coded := errors.As(err, &api)
	if coded && (throttles(api.ErrorCode()) || codeFault(api.ErrorCode()) == throttled) {
		return true // as STS says it with status 400
	}
	var reply interface{ HTTPStatusCode() int }
	if errors.As(err, &reply) {
		switch status := reply.HTTPStatusCode(); {
		case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
			return true
		case status >= http.StatusBadRequest && status < http.StatusInternalServerError:
			return false // EC2's metadata service, too, says so where the instance has no role
		}
	}
	return !coded || api.ErrorFault() != smithy.FaultClient
}

// sdkRetries knows what the SDK would try again.
var sdkRetries = retry.IsErrorRetryables(retry.DefaultRetryables)

// lasting is the text of errors that last, where the SDK gives them no type, or one of
// a package that is too much for the purpose.
var lasting = []string{
	"static credentials are empty",
	"access disabled to EC2 IMDS",
	"endpoint rule error", // no region, for example
	"sign request: ",
}

// undialled tells whether no connection was made.
func undialled(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") || is[*net.DNSError](err)
}

// classify says what an error means. Typed errors are matched by type, since their
// codes differ between AWS and emulators.
func classify(err error) fault {
	var entry *EntryError
	if errors.As(err, &entry) {
		if !entry.SenderFault || throttles(entry.Code) {
			return throttled // the service says that this entry was not applied
		}
		if f := codeFault(entry.Code); f == denied || f == missing {
			return f
		}
		return rejected
	}
	if unsentErr := (*unsentError)(nil); errors.As(err, &unsentErr) {
		switch {
		case unsentErr.again:
			return unsent
		case is[*smithy.SerializationError](err):
			return rejected // perhaps one message of it is to blame
		}
		return unready
	}
	switch {
	case is[*sqstypes.QueueDoesNotExist](err), is[*sqstypes.QueueDeletedRecently](err), is[*sqstypes.InvalidAddress](err), is[*snstypes.NotFoundException](err):
		return missing
	case is[*sqstypes.KmsThrottled](err), is[*snstypes.KMSThrottlingException](err), is[*sqstypes.RequestThrottled](err),
		is[*snstypes.ThrottledException](err), is[*sqstypes.OverLimit](err):
		return throttled
	case is[*sqstypes.KmsAccessDenied](err), is[*sqstypes.KmsDisabled](err), is[*sqstypes.KmsNotFound](err), is[*sqstypes.KmsInvalidState](err),
		is[*sqstypes.KmsInvalidKeyUsage](err), is[*sqstypes.KmsOptInRequired](err), is[*sqstypes.InvalidSecurity](err),
		is[*snstypes.AuthorizationErrorException](err), is[*snstypes.InvalidSecurityException](err), is[*snstypes.KMSAccessDeniedException](err),
		is[*snstypes.KMSDisabledException](err), is[*snstypes.KMSNotFoundException](err), is[*snstypes.KMSInvalidStateException](err), is[*snstypes.KMSOptInRequired](err):
		return denied
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return lost
	}
	var reply *awshttp.ResponseError
	status := 0
	if errors.As(err, &reply) {
		status = reply.HTTPStatusCode()
	}
	switch {
	case throttles(api.ErrorCode()), status == http.StatusTooManyRequests:
		return throttled
	case api.ErrorFault() == smithy.FaultServer, status >= http.StatusInternalServerError:
		return lost
	}
	return codeFault(api.ErrorCode())
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// throttles tells codes of throttling, which the SDK does not model as types, from
// others.
func throttles(code string) bool {
	return strings.Contains(code, "Throttl") || strings.Contains(code, "RequestLimitExceeded") || strings.Contains(code, "TooManyRequests") ||
		strings.HasSuffix(code, "SlowDown") || strings.HasSuffix(code, "OverLimit")
}

// codeFault classifies codes that are the client's fault.
func codeFault(code string) fault {
	switch code[strings.LastIndex(code, ".")+1:] {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "IDPCommunicationError":
		return throttled // not applied, and the SDK may have better credentials next time
	case "AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired", "InvalidSecurityToken", "NotAuthorized",
		"AuthFailure", "AuthorizationError", "KMSAccessDenied", "KmsAccessDenied", "KMSDisabled", "KmsDisabled":
		return denied
	case "NonExistentQueue", "QueueDoesNotExist", "NotFound":
		return missing
	}
	return rejected
}
