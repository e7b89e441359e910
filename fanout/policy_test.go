package fanout_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/holdfast-go/holdfast/fanout"
	"github.com/holdfast-go/holdfast/sqstest"
)

// spied is a way to the server on which a test may do something before a call is made, or
// answer it itself.
type spied struct {
	inner http.RoundTripper
	spy   func(action, body string) (reply []byte)
}

func (s spied) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	reply := s.spy(actionOf(r.Header.Get("X-Amz-Target"), string(body)), string(body))
	if reply == nil {
		return s.inner.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewReader(reply)), ContentLength: int64(len(reply)),
	}, nil
}

func spiedClients(srv *sqstest.Server, spy func(action, body string) []byte) fanout.Clients {
	client := &http.Client{Transport: spied{srv.HTTPClient().Transport, spy}}
	return fanout.Clients{
		SQS: srv.SQS(func(o *sqs.Options) {
			o.RetryMaxAttempts, o.HTTPClient, o.DisableMessageChecksumValidation = 1, client, true
		}),
		SNS: srv.SNS(func(o *sns.Options) { o.RetryMaxAttempts, o.HTTPClient = 1, client }),
	}
}

// writes has somebody else add a statement to the policy of billing.
func writes(t *testing.T, srv *sqstest.Server, sid string) {
	t.Helper()
	statement := fmt.Sprintf(`{"Sid":%q,"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sqs:SendMessage","Resource":"*"}`, sid)
	policy, more := strings.CutSuffix(policyOf(t, srv, "billing"), "]}")
	if policy += "," + statement + "]}"; !more {
		policy = `{"Version":"2012-10-17","Statement":[` + statement + `]}`
	}
	set(t, srv, "billing", "Policy", policy)
}

// holds fails the test unless the policy of billing has statements and lacks others.
func holds(t *testing.T, srv *sqstest.Server, has, lacks []string) {
	t.Helper()
	policy := policyOf(t, srv, "billing")
	for _, sid := range has {
		if !strings.Contains(policy, sid) {
			t.Errorf("%s is gone from %s", sid, policy)
		}
	}
	for _, sid := range lacks {
		if strings.Contains(policy, sid) {
			t.Errorf("%s is in %s", sid, policy)
		}
	}
}

func TestPoliciesAreMergedIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	t.Run("also where others write after they were read, before ours is set and before one is dropped", mergedLate)
	t.Run("also where SQS answers with what was there before this run wrote", mergedStale)
	t.Run("also where SQS answers with less than it did before", mergedOlder)
	t.Run("and where that is too large by then, nothing of it is written", mergedTooLarge)
}

const ours = "HoldfastFromorders"

func mergedLate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		old := srv.Topic(t, "old").Subscribe(t, srv.Queue(t, "billing")) // which makes a statement
		var created, ended sync.Once
		clients := spiedClients(srv, func(action, _ string) []byte {
			switch action {
			case "CreateQueue": // before policies are set
				created.Do(func() { writes(t, srv, "early") })
			case "Unsubscribe": // after that, and before statements are dropped
				ended.Do(func() { writes(t, srv, "late") })
			}
			return nil
		})
		cfg := fanout.Config{PolicySpread: -1, Prune: []string{old, billingARN + "#sqstest-old"}}
		if _, err := fanout.Apply(t.Context(), clients, small(), cfg); err != nil {
			t.Fatal(err)
		}
		holds(t, srv, []string{ours, "early", "late"}, []string{"sqstest-old"})
	})
}

func mergedStale(t *testing.T) {
	t.Parallel()
	silent := small()
	silent.Subscriptions = nil
	t.Run("where a statement is added and two are dropped", func(t *testing.T) { staleReads(t, small(), ours, "theirs", "early") })
	t.Run("where two are dropped", func(t *testing.T) { staleReads(t, silent, "theirs", "early") })
}

func staleReads(t *testing.T, topology fanout.Topology, left ...string) {
	t.Helper()
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		billing := srv.Queue(t, "billing")
		for _, sid := range []string{"first", "second", "theirs"} {
			writes(t, srv, sid)
		}
		// Every read of billing is answered as the first one was.
		var mu sync.Mutex
		reads, before := 0, readAll(t, srv, billing)
		clients := spiedClients(srv, func(action, body string) []byte {
			mu.Lock()
			defer mu.Unlock()
			if action != "GetQueueAttributes" || !strings.Contains(body, `/billing"`) {
				return nil
			}
			reads++
			if reads == 2 { // since the observation others wrote, and this is seen once
				writes(t, srv, "early")
				return nil
			}
			return before
		})
		cfg := fanout.Config{PolicySpread: -1, Prune: []string{billingARN + "#first", billingARN + "#second"}}
		if _, err := fanout.Apply(t.Context(), clients, topology, cfg); err != nil {
			t.Fatal(err)
		}
		if reads < 3 {
			t.Errorf("billing was read %d times: the test shows nothing", reads)
		}
		holds(t, srv, left, []string{"first", "second"})
	})
}

func mergedOlder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		billing := srv.Queue(t, "billing")
		before := readAll(t, srv, billing)
		time.Sleep(2 * time.Second)
		writes(t, srv, "theirs")
		reads := 0
		var mu sync.Mutex
		clients := spiedClients(srv, func(action, body string) []byte {
			mu.Lock()
			defer mu.Unlock()
			if action != "GetQueueAttributes" || !strings.Contains(body, `/billing"`) {
				return nil
			}
			if reads++; reads == 1 {
				return nil
			}
			return before
		})
		if _, err := fanout.Apply(t.Context(), clients, small(), fanout.Config{PolicySpread: -1}); err != nil {
			t.Fatal(err)
		}
		holds(t, srv, []string{ours, "theirs"}, nil)
	})
}

func mergedTooLarge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		srv := sqstest.New(t, sqstest.NoSignature())
		srv.Queue(t, "billing")
		var once sync.Once
		clients := spiedClients(srv, func(action, _ string) []byte {
			if action == "CreateQueue" {
				once.Do(func() {
					for i := range 20 {
						writes(t, srv, fmt.Sprint("theirs", i))
					}
				})
			}
			return nil
		})
		_, err := fanout.Apply(t.Context(), clients, small(), fanout.Config{PolicySpread: -1})
		want := "fanout: the policy of " + billingARN + " would have "
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "21 statements") {
			t.Errorf("%v, want %s... 21 statements", err, want)
		}
		holds(t, srv, []string{"theirs0", "theirs19"}, []string{ours})
	})
}

// readAll is SQS's answer to a request for all attributes of a queue.
func readAll(t *testing.T, srv *sqstest.Server, q *sqstest.Queue) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, q.URL, strings.NewReader(fmt.Sprintf(`{"QueueUrl":%q,"AttributeNames":["All"]}`, q.URL)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS.GetQueueAttributes")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	out, err := srv.HTTPClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	reply, err := io.ReadAll(out.Body)
	if err != nil || out.StatusCode != http.StatusOK {
		t.Fatalf("%v, %d: %s", err, out.StatusCode, reply)
	}
	return reply
}
