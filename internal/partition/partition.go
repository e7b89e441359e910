// Package partition tells in which partition of AWS a region is: ARNs have its name, and
// endpoints its domain.
package partition

import "strings"

type known struct{ prefix, name, domain string }

// others are the partitions beside aws, by how the names of their regions begin [the
// SDK's partitions.json]. No prefix begins another one.
var others = []known{
	{"cn-", "aws-cn", "amazonaws.com.cn"},
	{"us-gov-", "aws-us-gov", "amazonaws.com"},
	{"us-iso-", "aws-iso", "c2s.ic.gov"},
	{"us-isob-", "aws-iso-b", "sc2s.sgov.gov"},
	{"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"},
	{"us-isof-", "aws-iso-f", "csp.hci.ic.gov"},
	{"eusc-", "aws-eusc", "amazonaws.eu"},
}

func of(region string) known {
	for _, p := range others {
		if strings.HasPrefix(region, p.prefix) {
			return p
		}
	}
	return known{"", "aws", "amazonaws.com"}
}

// Of is the partition of a region as ARNs have it. A region that is not known is one of
// aws, where most new ones are.
func Of(region string) string { return of(region).name }

// Domain is where the services of a region are: sqs.<region>.<domain>.
func Domain(region string) string { return of(region).domain }
