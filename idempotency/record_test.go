package idempotency_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast/idempotency"
)

func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	for packed, want := range map[string]idempotency.Record{
		"1|P|1790000000000001|2|3|1790000000000|tok-1|hash_1|life|1790000043200|0|0": {
			State: idempotency.StateInProgress, Fence: 1790000000000001, Attempts: 2, Duplicates: 3,
			Deadline: 1790000000000, Token: "tok-1", PayloadHash: "hash_1", Life: "life", Hard: 1790000043200,
		},
		"1|P|9|1|0|5|t|||7|3|1": {
			State: idempotency.StateInProgress, Fence: 9, Attempts: 1, Deadline: 5, Token: "t", Hard: 7, Deaths: 3, Alone: true,
		},
		"1|C|9|1|0|0|t||": {State: idempotency.StateCompleted, Fence: 9, Attempts: 1, Token: "t"},
		"1|F|9|0|4|0|t|h|l": {
			State: idempotency.StateFree, Fence: 9, Duplicates: 4, Token: "t", PayloadHash: "h", Life: "l",
		},
	} {
		got, err := idempotency.ParseRecord(packed)
		if err != nil {
			t.Errorf("%s: %v", packed, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", packed, diff)
		}
		if s := got.String(); s != packed {
			t.Errorf("packed again %s is %s", packed, s)
		}
	}
}

func TestBadRecordsAreRefused(t *testing.T) {
	t.Parallel()
	for name, packed := range map[string]string{
		"empty":                              "",
		"a later version":                    "2|C|9|1|0|0|t||",
		"no version":                         "C|9|1|0|0|t||",
		"an unknown state":                   "1|Z|9|1|0|0|t||",
		"a long state":                       "1|CC|9|1|0|0|t||",
		"too few fields":                     "1|C|9|1|0|0|t|",
		"too many fields":                    "1|C|9|1|0|0|t|||",
		"in progress without a hard end":     "1|P|9|1|0|5|t||",
		"in progress without deaths":         "1|P|9|1|0|5|t|||9",
		"in progress without solitude":       "1|P|9|1|0|5|t|||9|0",
		"in progress with half a solitude":   "1|P|9|1|0|5|t|||9|0|2",
		"in progress without a deadline":     "1|P|9|1|0|0|t|||9|0|0",
		"completed with a hard end":          "1|C|9|1|0|0|t|||9|0|0",
		"a fence as floating point":          "1|C|1.79e+15|1|0|0|t||",
		"a fence with a leading zero":        "1|C|09|1|0|0|t||",
		"a fence of zero":                    "1|C|0|1|0|0|t||",
		"a fence beyond what Lua can count":  "1|C|9007199254740992|1|0|0|t||",
		"a negative number":                  "1|C|9|-1|0|0|t||",
		"no token":                           "1|C|9|1|0|0|||",
		"a token of other characters":        "1|C|9|1|0|0|t t||",
		"something else that lived under it": "OK",
	} {
		if r, err := idempotency.ParseRecord(packed); !errors.Is(err, idempotency.ErrBadRecord) || r != (idempotency.Record{}) {
			t.Errorf("%s: %q gave %+v, %v; want ErrBadRecord", name, packed, r, err)
		} else if len(packed) > 4 && strings.Contains(err.Error(), packed) {
			t.Errorf("%s: the error repeats the record", name)
		}
	}
}

// FuzzParseRecord holds that what can be read is written back byte for byte.
func FuzzParseRecord(f *testing.F) {
	f.Add("1|P|1790000000000001|2|3|1790000000000|tok-1|hash_1|life|1790000043200|0|0")
	f.Add("1|P|9|1|0|5|t|||7|3|1")
	f.Add("1|C|9|1|0|0|t||")
	f.Add("1|F|9|0|4|0|t|h|l")
	f.Add("2|P|some|later|form")
	f.Fuzz(func(t *testing.T, packed string) {
		r, err := idempotency.ParseRecord(packed)
		if err != nil {
			if !errors.Is(err, idempotency.ErrBadRecord) {
				t.Fatalf("%q: %v does not wrap ErrBadRecord", packed, err)
			}
			return
		}
		if s := r.String(); s != packed {
			t.Fatalf("%q is packed again as %q", packed, s)
		}
	})
}
