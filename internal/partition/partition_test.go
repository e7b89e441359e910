package partition_test

import (
	"testing"

	"github.com/holdfast-go/holdfast/internal/partition"
)

func TestRegionsAreOfTheirPartition(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]struct{ name, domain string }{
		"eu-central-1":    {"aws", "amazonaws.com"},
		"us-east-1":       {"aws", "amazonaws.com"},
		"xx-somewhere-9":  {"aws", "amazonaws.com"},
		"":                {"aws", "amazonaws.com"},
		"cn-northwest-1":  {"aws-cn", "amazonaws.com.cn"},
		"us-gov-west-1":   {"aws-us-gov", "amazonaws.com"},
		"us-iso-east-1":   {"aws-iso", "c2s.ic.gov"},
		"us-isob-east-1":  {"aws-iso-b", "sc2s.sgov.gov"},
		"eu-isoe-west-1":  {"aws-iso-e", "cloud.adc-e.uk"},
		"us-isof-south-1": {"aws-iso-f", "csp.hci.ic.gov"},
		"eusc-de-east-1":  {"aws-eusc", "amazonaws.eu"},
	} {
		if name, domain := partition.Of(region), partition.Domain(region); name != want.name || domain != want.domain {
			t.Errorf("%s is of %s at %s, want %s at %s", region, name, domain, want.name, want.domain)
		}
	}
}
