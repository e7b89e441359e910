package snsserver

import (
	"strings"
	"testing"
)

func TestBind(t *testing.T) {
	t.Parallel()
	s := New(Config{}, nil)
	arn, err := s.Create("events", nil)
	if err != nil {
		t.Fatal(err)
	}
	const mine = "arn:aws:sns:us-east-1:000000000000:events"
	try := func(action, topic string) error {
		c := &call{id: identity{accessKey: "WORKER", account: DefaultAccount, region: DefaultRegion}, action: action}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.ask(c, topic)
	}
	if err := s.Bind("WORKER", `{"Statement":[
		{"Effect":"Allow","Action":"sns:Publish","Resource":"`+mine+`"},
		{"Effect":"Allow","Action":["sns:ListSubscriptions","sns:TagResource"],"Resource":"*"},
		{"Effect":"Deny","Action":"sns:TagResource","Resource":"*-private"}]}`); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		action, on string
		want       string // in the refusal, "" for none
	}{
		{"Publish", arn, ""},
		{"PublishBatch", arn, ""}, // needs the permission of the single form
		{"Publish", arn + "-other", "is for another Resource"},
		{"Subscribe", arn, "SNS:Subscribe on resource: " + mine},
		{"ListSubscriptions", "*", ""},
		{"TagResource", arn, ""},
		{"TagResource", arn + "-private", "denies it"},
	} {
		err := try(tt.action, tt.on)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s on %s: %v, want %q", tt.action, tt.on, err, tt.want)
		}
	}
	// IAM cannot limit this one to a topic.
	if err := s.Bind("WORKER", `{"Statement":{"Effect":"Allow","Action":"sns:SetSubscriptionAttributes","Resource":"`+mine+`"}}`); err != nil {
		t.Fatal(err)
	}
	if err := try("SetSubscriptionAttributes", arn); err == nil || !strings.Contains(err.Error(), "on resource: *") {
		t.Errorf("%v, want a refusal that names *", err)
	}
	if err := s.Bind("WORKER", ""); err != nil {
		t.Fatal(err)
	}
	if err := try("Subscribe", arn); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"no JSON", `{"Statement":{"Effect":"Allow","Action":"*"}}`, `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`} {
		if err := s.Bind("K", bad); err == nil || !strings.Contains(err.Error(), `"K"`) {
			t.Errorf("%s: %v, want an error that names the key", bad, err)
		}
	}
}
