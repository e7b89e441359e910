package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-go/holdfast"
)

const causeName = "holdfast-cause"

// reply is an HTTP client whose every request is answered with the text.
type reply string

func (r reply) Do(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(string(r))), ContentLength: int64(len(r)),
	}, nil
}

// answeredWith is a transport on the SDK's client that gets this reply to all.
func answeredWith(text string) *SDK {
	client := sqs.New(sqs.Options{
		Region: "eu-west-1", HTTPClient: reply(text), Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		DisableMessageChecksumValidation: true,
	})
	return opensAs(&SDK{Poll: client, Settle: client}, false)
}

func opensAs(t *SDK, fifo bool) *SDK {
	t.CauseAttribute, t.Visibility = causeName, 30*time.Second
	t.opened.Store(&opened{
		queue:  holdfast.Queue{Name: "orders", URL: "https://sqs.eu-west-1.amazonaws.com/1/orders", FIFO: fifo},
		dlqURL: "https://sqs.eu-west-1.amazonaws.com/1/dlq", asked: systemAttributes,
	})
	return t
}

// sane holds what must be true of every message, whatever came.
func sane(t *testing.T, m *holdfast.Message) {
	t.Helper()
	if m.ReceiveCount < 1 || m.ReceiveCount > math.MaxInt32 {
		t.Errorf("the receive count is %d, from which nobody can count on", m.ReceiveCount)
	}
	for name, at := range map[string]time.Time{"SentAt": m.SentAt, "FirstReceivedAt": m.FirstReceivedAt} {
		if !at.IsZero() && at.UnixMilli() <= 0 {
			t.Errorf("%s is %v, before there was SQS", name, at)
		}
		if _, err := at.MarshalJSON(); err != nil {
			t.Errorf("%s cannot be written: %v", name, err)
		}
	}
	if (m.Attributes == nil) != (len(m.Attributes) == 0) {
		t.Error("there is an empty map of attributes")
	}
}

// size is the size of a message as SQS counts it.
func size(m *holdfast.Message) int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(a.Type) + len(a.String) + len(a.Binary)
	}
	return n
}

// FuzzReceive reads replies to ReceiveMessage that no SQS sends.
func FuzzReceive(f *testing.F) {
	for _, seed := range []string{
		`{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"b","Attributes":{"ApproximateReceiveCount":"2","SentTimestamp":"1790000000000"},"MessageAttributes":{"a":{"DataType":"String","StringValue":"v"},"b":{"DataType":"Binary","BinaryValue":"AQI="}}},{}]}`,
		`{"Messages":[{"Attributes":{"ApproximateReceiveCount":"9223372036854775807","SentTimestamp":"-1","ApproximateFirstReceiveTimestamp":"9223372036854775807"}}]}`,
		`{"Messages":[{"MessageId":"1","Body":"alone"},{"MessageId":"2","Body":"alone"}]}`,
		`{"Messages":[null,{"Body":null,"Attributes":null,"MessageAttributes":{"a":null,"":{}}}]}`, `{"Messages":{}}`, `{}`, ``, `[`, `null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var messages []*holdfast.Message
		ds, _, err := answeredWith(text).Receive(t.Context(), MaxBatch, 0, "", func() *holdfast.Message {
			messages = append(messages, new(holdfast.Message))
			return messages[len(messages)-1]
		})
		if err != nil {
			if len(ds)+len(messages) > 0 {
				t.Fatal("messages beside an error")
			}
			return
		}
		if len(ds) != len(messages) {
			t.Fatalf("%d deliveries of %d messages", len(ds), len(messages))
		}
		for i, m := range messages {
			sane(t, m)
			if origin := ds[i].Origin; m.ID != aws.ToString(origin.MessageId) || m.Body != aws.ToString(origin.Body) || ds[i].Handle != aws.ToString(origin.ReceiptHandle) {
				t.Errorf("message %d is not that of its delivery: %+v, %+v", i, m, origin)
			}
			if ds[i].Size != size(m) || len(m.Attributes) != len(ds[i].Origin.MessageAttributes) {
				t.Errorf("message %d: size %d of %+v", i, ds[i].Size, m)
			}
		}
	})
}

// sentTo is an API that keeps what was sent.
type sentTo struct {
	API
	in *sqs.SendMessageInput
}

func (s *sentTo) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	s.in = in
	return &sqs.SendMessageOutput{}, nil
}

// plain are the numbers that SQS may write.
var plainCount, plainMillis = regexp.MustCompile(`^[1-9]\d{0,8}$`), regexp.MustCompile(`^[1-9]\d{0,12}$`)

// FuzzMessage holds that a message arrives as it was sent and comes to the
// dead-letter queue as it arrived; and that what is no number counts as none.
func FuzzMessage(f *testing.F) {
	f.Add("body", "3", "1790000000000", "g", "trace", "name", "Binary", "", []byte{1, 2}, "cause", false)
	f.Add("", "0", "-1", "", "", causeName, "Binary", "", []byte{0, 255}, "", true)
	f.Add("b", "99999999999999999999", "9223372036854775807", "g", "", "", "Number.int", "1", []byte{}, strings.Repeat("c", 1<<10), true)
	f.Add(strings.Repeat("b", MaxMessage-40), "007", "x", "", "", causeName, "String", "c", []byte(nil), "c", false)
	f.Add(strings.Repeat("b", MaxMessage-30), "+2", "1e3", "", "t", "a", "String", "x", []byte(nil), "c", false)
	f.Fuzz(func(t *testing.T, body, count, millis, group, trace, name, kind, text string, binary []byte, cause string, fifo bool) {
		id := "m"
		origin := &Origin{
			MessageId: &id, Body: &body,
			Attributes: map[string]string{
				"ApproximateReceiveCount": count, "SentTimestamp": millis, "ApproximateFirstReceiveTimestamp": millis,
				"MessageGroupId": group, "AWSTraceHeader": trace,
			},
			MessageAttributes: map[string]types.MessageAttributeValue{"other": {DataType: aws.String("String"), StringValue: &text}},
		}
		origin.MessageAttributes[name] = types.MessageAttributeValue{DataType: &kind, StringValue: &text, BinaryValue: bytes.Clone(binary)}
		api := new(sentTo)
		wire := opensAs(&SDK{Settle: api}, fifo)
		var m holdfast.Message
		wire.Message(origin, &m)
		sane(t, &m)
		if m.ID != id || m.Body != body || m.GroupID != group || m.TraceHeader != trace {
			t.Errorf("the message is %+v", m)
		}
		bare := func(s string) string { return strings.TrimLeft(strings.TrimPrefix(s, "+"), "0") }
		if is := fmt.Sprint(m.ReceiveCount); is != bare(count) && (is != "1" || plainCount.MatchString(count)) {
			t.Errorf("a receive count of %q is read as %s", count, is)
		}
		if is := fmt.Sprint(m.SentAt.UnixMilli()); is != bare(millis) && (!m.SentAt.IsZero() || plainMillis.MatchString(millis)) {
			t.Errorf("a time of %q is read as %v", millis, m.SentAt)
		}
		want := map[string]holdfast.Attribute{"other": {Type: "String", String: text}}
		want[name] = holdfast.Attribute{Type: kind, String: text, Binary: binary}
		same := cmp.Comparer(bytes.Equal)
		if diff := cmp.Diff(want, m.Attributes, same); diff != "" {
			t.Errorf("attributes (-sent +received):\n%s", diff)
		}
		for _, a := range m.Attributes {
			clear(a.Binary) // as a handler might
		}

		_, dropped, err := wire.DeadLetter(t.Context(), origin, cause)
		if err != nil || aws.ToString(api.in.MessageBody) != body || aws.ToString(api.in.MessageGroupId) != group {
			t.Fatalf("dead-lettered as %+v, %v", api.in, err)
		}
		if fifo != (aws.ToString(api.in.MessageDeduplicationId) == id) {
			t.Errorf("the deduplication id is %q where FIFO is %v", aws.ToString(api.in.MessageDeduplicationId), fifo)
		}
		dead, again := &types.Message{Body: api.in.MessageBody, MessageAttributes: api.in.MessageAttributes}, holdfast.Message{}
		wire.Message((*Origin)(dead), &again)
		whole := size(&again)
		added, has := again.Attributes[causeName]
		delete(again.Attributes, causeName)
		delete(want, causeName)
		if has == dropped || has && (added.String != cause || whole > MaxMessage) {
			t.Errorf("dropped is %v, and the cause in %d bytes is %q", dropped, whole, added.String)
		}
		if !has && whole+len(causeName)+len("String")+len(cause) <= MaxMessage {
			t.Error("the cause was dropped although there is room")
		}
		if diff := cmp.Diff(want, again.Attributes, same); diff != "" {
			t.Errorf("attributes (-sent +in the dead-letter queue):\n%s", diff)
		}
	})
}

// FuzzBatchReply holds that an entry counts as deleted only where the reply says so
// of just that entry.
func FuzzBatchReply(f *testing.F) {
	for _, seed := range []string{
		`{"Successful":[{"Id":"0"},{"Id":"1"}],"Failed":[{"Id":"2","Code":"InternalError","SenderFault":false,"Message":"m"}]}`,
		`{"Successful":[{"Id":"0"},{"Id":"0"},{"Id":"-1"},{"Id":"3"},{"Id":"10"},{}],"Failed":[{"Id":"0"},null]}`,
		`{"Successful":null,"Failed":{}}`, `{}`, ``, `null`,
	} {
		f.Add(seed, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		handles, results := make([]string, 1+n%MaxBatch), make([]error, 1+n%MaxBatch)
		if err := answeredWith(text).Delete(t.Context(), handles, results); err != nil {
			return
		}
		for i, err := range results {
			done, failed := listed(t, text, "Successful", i), listed(t, text, "Failed", i)
			if (err == nil) != (done && !failed) {
				t.Errorf("entry %d: %v, where it is listed as done %v and as failed %v", i, err, done, failed)
			}
		}
	})
}

// listed tells whether an entry is in a list of a reply, read in another way.
func listed(t *testing.T, text, list string, entry int) bool {
	t.Helper()
	if text == "" {
		return false
	}
	var all map[string]any
	if err := json.NewDecoder(strings.NewReader(text)).Decode(&all); err != nil {
		t.Fatalf("a reply was taken that is no JSON: %v", err)
	}
	entries, _ := all[list].([]any)
	return slices.ContainsFunc(entries, func(e any) bool {
		fields, _ := e.(map[string]any)
		id, _ := fields["Id"].(string)
		i, err := strconv.Atoi(id)
		return err == nil && i == entry
	})
}
