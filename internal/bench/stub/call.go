package stub

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// longPollCap bounds how long an empty receive is held back, so that a trial
	// is not lengthened by the twenty seconds a client asks for.
	longPollCap = 50 * time.Millisecond

	// QueueName is the one queue there is.
	QueueName = "bench"
	// QueueARN is its ARN.
	QueueARN = "arn:aws:sqs:us-east-1:000000000000:" + QueueName
)

// handlePrefix starts every receipt handle of the stub. With the serial number
// behind it a handle is as long as one of AWS's (about 350 bytes).
var handlePrefix = []byte("AQEB" + strings.Repeat("kZ3vR7xT", 41))

// template is one of the bodies the queue is full of, ready for the wire.
type template struct {
	body []byte // as a JSON string, quotes included
	md5  []byte // hex
}

var templates = makeTemplates(64)

func makeTemplates(n int) []template {
	t := make([]template, n)
	for i := range t {
		body := fmt.Sprintf(`{"order":"o-%06d","customer":"c-%04d","currency":"EUR","total":%d,"items":[{"sku":"sku-%05d","quantity":%d}],"address":{"street":"1 Example Road","city":"Springfield"},"note":"leave at the door"}`,
			i*7919, i*31%1000, 1000+i*13, i*101%99999, 1+i%4)
		sum := md5.Sum([]byte(body))
		quoted, err := json.Marshal(body)
		if err != nil {
			panic(err) // a string always marshals
		}
		t[i] = template{body: quoted, md5: hex.AppendEncode(nil, sum[:])}
	}
	return t
}

// call counts one SQS call and appends the body of its reply to out.
func (s *Server) call(out []byte, req *request) reply {
	switch string(req.target) {
	case "ReceiveMessage":
		s.counts.receive.Add(1)
		n := s.take(intField(req.body, `"MaxNumberOfMessages":`, 1))
		if n == 0 {
			time.Sleep(min(longPollCap, time.Duration(intField(req.body, `"WaitTimeSeconds":`, 0))*time.Second))
			return ok(append(out, "{}"...))
		}
		s.counts.received.Add(uint64(n))
		return ok(s.appendMessages(out, n, req.body))
	case "DeleteMessageBatch":
		s.counts.deleteBatch.Add(1)
		out, n := appendSuccessful(out, req.body)
		s.counts.deleted.Add(uint64(n))
		return ok(out)
	case "ChangeMessageVisibilityBatch":
		s.counts.visibilityBatch.Add(1)
		out, n := appendSuccessful(out, req.body)
		s.counts.extended.Add(uint64(n))
		return ok(out)
	case "SendMessageBatch":
		s.counts.sendBatch.Add(1)
		return s.sendBatch(out, req.body)
	}
	s.counts.other.Add(1)
	switch string(req.target) {
	case "DeleteMessage":
		if !ownHandle(req.body) {
			return foreignHandle
		}
		s.counts.deleted.Add(1)
		return ok(append(out, "{}"...))
	case "ChangeMessageVisibility":
		if !ownHandle(req.body) {
			return foreignHandle
		}
		s.counts.extended.Add(1)
		return ok(append(out, "{}"...))
	case "SendMessage":
		var in struct{ MessageBody string }
		if err := json.Unmarshal(req.body, &in); err != nil {
			return failure("com.amazon.coral.service#SerializationException", err.Error())
		}
		s.counts.sent.Add(1)
		return ok(appendSent(append(out, '{'), s.serial.Add(1), in.MessageBody))
	case "GetQueueUrl":
		return ok(append(out, `{"QueueUrl":"`+s.QueueURL()+`"}`...))
	case "GetQueueAttributes":
		return ok(append(out, queueAttributes...))
	}
	return failure("com.amazon.coral.service#UnknownOperationException", "the stub has no "+string(req.target))
}

const queueAttributes = `{"Attributes":{"QueueArn":"` + QueueARN + `","VisibilityTimeout":"30","MessageRetentionPeriod":"345600",` +
	`"DelaySeconds":"0","MaximumMessageSize":"1048576","ReceiveMessageWaitTimeSeconds":"0",` +
	`"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"0","ApproximateNumberOfMessagesDelayed":"0"}}`

// foreignHandle is what AWS answers to a handle it never gave out.
var foreignHandle = reply{
	status:     400,
	queryError: "ReceiptHandleIsInvalid;Sender",
	body:       []byte(`{"__type":"com.amazonaws.sqs#ReceiptHandleIsInvalid","message":"The input receipt handle is invalid."}`),
}

func ok(body []byte) reply { return reply{status: 200, body: body} }

func failure(kind, message string) reply {
	body, err := json.Marshal(map[string]string{"__type": kind, "message": message})
	if err != nil {
		panic(err) // two strings always marshal
	}
	return reply{status: 400, body: body}
}

// QueueURL is the URL of the one queue there is.
func (s *Server) QueueURL() string { return s.url + "/000000000000/" + QueueName }

// take lowers the budget by as many messages as a receive that asks for most
// gets.
func (s *Server) take(most int) int {
	most = min(most, 10)
	for {
		left := s.budget.Load()
		n := min(int64(most), left)
		if n <= 0 {
			return 0
		}
		if s.budget.CompareAndSwap(left, left-n) {
			return int(n)
		}
	}
}

// appendMessages appends a ReceiveMessage reply of n messages, with those system
// attributes that the request in asks for.
func (s *Server) appendMessages(out []byte, n int, in []byte) []byte {
	all := bytes.Contains(in, []byte(`SystemAttributeNames":["All"]`))
	asked := func(name string) bool { return all || bytes.Contains(in, []byte(`"`+name+`"`)) }
	var (
		count  = asked("ApproximateReceiveCount")
		first  = asked("ApproximateFirstReceiveTimestamp")
		sentAt = asked("SentTimestamp")
		group  = asked("MessageGroupId")
		now    = time.Now().UnixMilli()
		last   = s.serial.Add(uint64(n))
	)
	out = append(out, `{"Messages":[`...)
	for serial := last - uint64(n) + 1; serial <= last; serial++ {
		t := &templates[serial%uint64(len(templates))]
		out = append(out, `{"MessageId":"`...)
		out = appendUUID(out, serial)
		out = append(out, `","ReceiptHandle":"`...)
		out = append(out, handlePrefix...)
		out = strconv.AppendUint(out, serial, 10)
		out = append(out, `","MD5OfBody":"`...)
		out = append(out, t.md5...)
		out = append(out, `","Body":`...)
		out = append(out, t.body...)
		out = append(out, `,"Attributes":{`...)
		if count {
			out = append(out, `"ApproximateReceiveCount":"1",`...)
		}
		if first {
			out = append(out, `"ApproximateFirstReceiveTimestamp":"`...)
			out = strconv.AppendInt(out, now, 10)
			out = append(out, `",`...)
		}
		if sentAt {
			out = append(out, `"SentTimestamp":"`...)
			out = strconv.AppendInt(out, now-40, 10)
			out = append(out, `",`...)
		}
		if group {
			out = append(out, `"MessageGroupId":"tenant-`...)
			out = append(out, hexDigits[serial&15])
			out = append(out, `",`...)
		}
		if out[len(out)-1] == ',' {
			out = out[:len(out)-1]
		}
		out = append(out, "}},"...)
	}
	return append(out[:len(out)-1], "]}"...)
}

// appendSuccessful appends the reply to a batch call in which every entry
// succeeded, and says how many there were. Entry ids need no JSON escapes, and no
// handle of the stub looks like one, so it only looks for them.
func appendSuccessful(out, in []byte) (body []byte, entries int) {
	out = append(out, `{"Failed":[],"Successful":[`...)
	mark := []byte(`"Id":"`)
	for {
		at := bytes.Index(in, mark)
		if at < 0 {
			break
		}
		in = in[at+len(mark):]
		end := bytes.IndexByte(in, '"')
		if end < 0 {
			break
		}
		out = append(out, `{"Id":"`...)
		out = append(out, in[:end]...)
		out = append(out, `"},`...)
		in = in[end:]
		entries++
	}
	if entries > 0 {
		out = out[:len(out)-1]
	}
	return append(out, "]}"...), entries
}

func ownHandle(in []byte) bool { return bytes.Contains(in, handlePrefix) }

// sendBatch takes all entries of a SendMessageBatch.
func (s *Server) sendBatch(out, in []byte) reply {
	var batch struct {
		Entries []struct{ ID, MessageBody string }
	}
	if err := json.Unmarshal(in, &batch); err != nil {
		return failure("com.amazon.coral.service#SerializationException", err.Error())
	}
	s.counts.sent.Add(uint64(len(batch.Entries)))
	out = append(out, `{"Failed":[],"Successful":[`...)
	for i, e := range batch.Entries {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"Id":"`...)
		out = append(out, e.ID...)
		out = append(out, `",`...)
		out = appendSent(out, s.serial.Add(1), e.MessageBody)
	}
	return ok(append(out, "]}"...))
}

// appendSent appends what SQS tells of one message, and the brace behind it.
func appendSent(out []byte, serial uint64, messageBody string) []byte {
	sum := md5.Sum([]byte(messageBody))
	out = append(out, `"MessageId":"`...)
	out = appendUUID(out, serial)
	out = append(out, `","MD5OfMessageBody":"`...)
	out = hex.AppendEncode(out, sum[:])
	return append(out, `"}`...)
}

// intField returns the number behind name, or otherwise where there is none.
func intField(in []byte, name string, otherwise int) int {
	at := bytes.Index(in, []byte(name))
	if at < 0 {
		return otherwise
	}
	in = bytes.TrimLeft(in[at+len(name):], " ")
	end := 0
	for end < len(in) && in[end] >= '0' && in[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(string(in[:end]))
	if err != nil {
		return otherwise
	}
	return n
}
