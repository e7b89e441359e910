package snsserver

import "strings"

// arn is an Amazon Resource Name taken apart:
// arn:partition:service:region:account:resource.
type arn struct {
	partition, service, region, account, resource string
}

func (a arn) String() string {
	return "arn:" + a.partition + ":" + a.service + ":" + a.region + ":" + a.account + ":" + a.resource
}

// splitARN takes an ARN apart. The resource may contain colons.
func splitARN(s string) (arn, bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] == "" || parts[2] == "" || parts[5] == "" {
		return arn{}, false
	}
	return arn{parts[1], parts[2], parts[3], parts[4], parts[5]}, true
}

func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

// readARN reads the ARN of a parameter as SNS does.
func readARN(parameter, value string) (arn, error) {
	if value == "" {
		return arn{}, errParameter.with("Invalid parameter: %s Reason: no value for required parameter", parameter)
	}
	if n := strings.Count(value, ":") + 1; n < 6 {
		return arn{}, errParameter.with("Invalid parameter: %s Reason: An ARN must have at least 6 elements, not %d", parameter, n)
	}
	a, ok := splitARN(value)
	if !ok {
		return arn{}, errParameter.with("Invalid parameter: %s", parameter)
	}
	return a, nil
}
