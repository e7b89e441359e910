package fanout_test

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

func TestEveryPartitionOfAWS(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]struct{ partition, domain string }{
		"eu-central-1":    {"aws", "amazonaws.com"},
		"cn-north-1":      {"aws-cn", "amazonaws.com.cn"},
		"us-gov-west-1":   {"aws-us-gov", "amazonaws.com"},
		"us-iso-east-1":   {"aws-iso", "c2s.ic.gov"},
		"us-isob-east-1":  {"aws-iso-b", "sc2s.sgov.gov"},
		"eu-isoe-west-1":  {"aws-iso-e", "cloud.adc-e.uk"},
		"us-isof-south-1": {"aws-iso-f", "csp.hci.ic.gov"},
		"eusc-de-east-1":  {"aws-eusc", "amazonaws.eu"},
	} {
		t.Run(region, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				srv := sqstest.New(t, sqstest.NoSignature())
				topology := small()
				topology.Region = region
				apply(t, srv, topology, fanout.Config{PolicySpread: -1})
				if d := plan(t, srv, topology, fanout.Config{}); len(d.Changes) > 0 {
					t.Errorf("the second plan:\n%s", d)
				}
				if r := verify(t, srv, topology, fanout.VerifyConfig{}); !r.OK() || !strings.HasPrefix(r.Paths[0].Topic, "arn:"+want.partition+":sns:"+region+":") {
					t.Errorf("report of %s:\n%s", r.Paths[0].Topic, r)
				}
				topology.Topics[0].KMSKey = "1234"
				policy, err := fanout.ProducePermissions(topology)
				for _, part := range []string{"arn:" + want.partition + ":kms:" + region, `"sns.` + region + "." + want.domain + `"`} {
					if err != nil || !strings.Contains(policy, part) {
						t.Errorf("%v, the policy lacks %s: %s", err, part, policy)
					}
				}
			})
		})
	}
}
