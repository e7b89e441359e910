package fanout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/internal/partition"
)

const (
	// maxPolicyBytes and maxStatements bound a queue's policy [SQS, "Quotas related to
	// policies"].
	maxPolicyBytes = 8 << 10
	maxStatements  = 20

	snsPrincipal = "sns.amazonaws.com"
	// sidPrefix begins the Sid of every statement that this package writes.
	sidPrefix = "HoldfastFrom"
)

// statement is a statement of a queue's policy that lets a topic send.
type statement struct {
	Sid       string
	Effect    string
	Principal map[string]any // Service: a name or several
	Action    string
	Resource  string
	Condition map[string]map[string]string
}

// sendStatement lets one topic, of one account, send to one queue.
func sendStatement(topic, queue arn) statement {
	var service any = principals(topic, queue)
	if names := principals(topic, queue); len(names) == 1 {
		service = names[0]
	}
	return statement{
		Sid:       sidOf(topic),
		Effect:    "Allow",
		Principal: map[string]any{"Service": service},
		Action:    "sqs:SendMessage",
		Resource:  queue.String(),
		Condition: map[string]map[string]string{
			"ArnEquals":    {"aws:SourceArn": topic.String()},
			"StringEquals": {"aws:SourceAccount": topic.account},
		},
	}
}

// enabledRegions are those that every account has. All later ones are opt-in, and so is
// Osaka for SNS [SNS, "Sending messages to a queue in a different Region"].
var enabledRegions = map[string]bool{
	"ap-northeast-1": true, "ap-northeast-2": true, "ap-south-1": true, "ap-southeast-1": true, "ap-southeast-2": true,
	"ca-central-1": true, "eu-central-1": true, "eu-north-1": true, "eu-west-1": true, "eu-west-2": true, "eu-west-3": true,
	"sa-east-1": true, "us-east-1": true, "us-east-2": true, "us-west-1": true, "us-west-2": true,
}

// principals is who sends from a topic to a queue: SNS, which goes by the name of its
// region where one of two regions is opt-in. By which of the two names depends on the
// direction; the conditions of the statement bind all of them to one topic.
func principals(topic, queue arn) []string {
	names := []string{snsPrincipal}
	if topic.region != queue.region && topic.partition == "aws" {
		for _, region := range []string{topic.region, queue.region} {
			if !enabledRegions[region] {
				names = append(names, "sns."+region+".amazonaws.com")
			}
		}
	}
	return names
}

// sidOf names the statement for a topic: readable, of the letters that a Sid may
// have, and different for topics of one name in other places.
func sidOf(topic arn) string {
	sum := sha256.Sum256([]byte(topic.String()))
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' {
			return -1
		}
		return r
	}, topic.name)
	return sidPrefix + name[:min(len(name), 40)] + hex.EncodeToString(sum[:4])
}

func (s *statement) text() string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return string(b)
}

// iamStatement is a statement of an IAM policy.
type iamStatement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// PlanPermissions is the least IAM policy, as JSON, with which Plan works for a
// topology under cfg. Actions that IAM cannot limit to a topic are allowed on *. The
// error is Validate's and that of cfg.
func PlanPermissions(t Topology, cfg Config) (string, error) {
	want, err := compileChecked(t, cfg)
	if err != nil {
		return "", err
	}
	return iamText(want.reading(cfg)), nil
}

// ApplyPermissions is the least IAM policy, as JSON, with which Apply works for a
// topology under cfg: that of Plan, and creating unless ExistingOnly, and deleting
// where Prune names what.
func ApplyPermissions(t Topology, cfg Config) (string, error) {
	want, err := compileChecked(t, cfg)
	if err != nil {
		return "", err
	}
	queues, topics, from := want.arns()
	all := want.reading(cfg)
	queueActions := []string{"sqs:SetQueueAttributes", "sqs:TagQueue"}
	topicActions := []string{"sns:SetTopicAttributes", "sns:TagResource"}
	if !cfg.ExistingOnly {
		queueActions = append(queueActions, "sqs:CreateQueue")
		topicActions = append(topicActions, "sns:CreateTopic")
		all = append(all, allow("Subscribe", []string{"sns:Subscribe"}, from))
	}
	all = append(all, allow("ChangeQueues", queueActions, queues), allow("ChangeTopics", topicActions, topics))
	if len(want.subs) > 0 {
		all = append(all, allow("ChangeSubscriptions", []string{"sns:SetSubscriptionAttributes"}, []string{"*"}))
	}
	var gone, ended, edited []string
	unsubscribes := false
	for _, p := range cfg.Prune {
		switch a, kind := pruned(p); kind {
		case pruneQueue:
			gone = append(gone, a.String())
		case pruneTopic:
			ended = append(ended, a.String())
		case pruneStatement:
			edited = append(edited, a.String())
		case pruneSubscription:
			unsubscribes = true
		case pruneNothing:
		}
	}
	if unsubscribes {
		all = append(all, allow("PruneSubscriptions", []string{"sns:Unsubscribe"}, []string{"*"}))
	}
	all = append(all,
		allow("PruneStatements", []string{"sqs:SetQueueAttributes"}, edited),
		allow("PruneQueues", []string{"sqs:DeleteQueue"}, gone),
		allow("PruneTopics", []string{"sns:DeleteTopic"}, ended))
	return iamText(all), nil
}

// ConsumePermissions is the least IAM policy, as JSON, for a consumer of one of the
// topology's queues: package consumer with its defaults, on the queue and the
// dead-letter queue, and the middleware Confirm for the topics that LetIn lets in there.
// Where keys of KMS encrypt these queues, it may use them for SQS.
func ConsumePermissions(t Topology, queue string) (string, error) {
	want, err := compileChecked(t, Config{})
	if err != nil {
		return "", err
	}
	q := want.queue(t.at("sqs", queue))
	if q == nil {
		return "", &ConfigError{"queue", queue, "the name of a queue of the topology"}
	}
	all := []iamStatement{allow("Consume", []string{
		"sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility",
	}, []string{q.arn.String()})}
	used := []keyUse{{q.arn, q.attrs[attrKMSKey]}}
	if target := redriveTarget(q.attrs[attrRedrive]); target != "" {
		all = append(all, allow("DeadLetter", []string{"sqs:SendMessage"}, []string{target}))
		if a, ok := parseARN(target); ok {
			if dead := want.queue(a); dead != nil {
				used = append(used, keyUse{a, dead.attrs[attrKMSKey]})
			}
		}
	}
	var confirmed []string
	t = t.withDefaults()
	for i := range t.Subscriptions {
		if s := &t.Subscriptions[i]; s.LetIn && s.Queue == queue {
			confirmed = append(confirmed, s.Topic)
		}
	}
	all = append(all, allow("Confirm", []string{"sns:ConfirmSubscription"}, confirmed))
	return iamText(append(all, keys(used)...)), nil
}

// ProducePermissions is the least IAM policy, as JSON, for package producer with its
// defaults, publishing to the topology's topics. How much a topic takes may be read where
// MaxMessageSize says something else than 256 KiB, for which producers take it otherwise.
// Where keys of KMS encrypt these topics, it may use them for SNS.
func ProducePermissions(t Topology) (string, error) {
	want, err := compileChecked(t, Config{})
	if err != nil {
		return "", err
	}
	_, topics, _ := want.arns()
	var used []keyUse
	var sized []string
	for i := range want.topics {
		w := &want.topics[i]
		used = append(used, keyUse{w.arn, w.attrs[attrKMSKey]})
		if size := w.attrs[attrMaxMessageSize]; size != "" && size != strconv.Itoa(largeSize) {
			sized = append(sized, w.arn.String())
		}
	}
	all := []iamStatement{allow("Publish", []string{"sns:Publish"}, topics), allow("ReadSizes", []string{"sns:GetTopicAttributes"}, sized)}
	return iamText(append(all, keys(used)...)), nil
}

// SendPermissions is the least IAM policy, as JSON, for package producer with its defaults,
// sending to one of the topology's queues by its name. How much it takes may be read where
// MaxMessageSize says less than the 1 MiB for which producers take it otherwise. Where a
// key of KMS encrypts the queue, it may use it for SQS.
func SendPermissions(t Topology, queue string) (string, error) {
	want, err := compileChecked(t, Config{})
	if err != nil {
		return "", err
	}
	q := want.queue(t.at("sqs", queue))
	if q == nil {
		return "", &ConfigError{"queue", queue, "the name of a queue of the topology"}
	}
	actions := []string{"sqs:GetQueueUrl", "sqs:SendMessage"}
	if size := q.attrs[attrMaxMessageSize]; size != "" && size != strconv.Itoa(maxSize) {
		actions = append(actions, "sqs:GetQueueAttributes")
	}
	all := []iamStatement{allow("Send", actions, []string{q.arn.String()})}
	return iamText(append(all, keys([]keyUse{{q.arn, q.attrs[attrKMSKey]}})...)), nil
}

func compileChecked(t Topology, cfg Config) (*desired, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	want := compile(t.withDefaults())
	return want, cfg.withDefaults().validate(want)
}

// arns are those of the queues, of the topics, and of all topics subscribed to.
func (d *desired) arns() (queues, topics, from []string) {
	for i := range d.queues {
		queues = append(queues, d.queues[i].arn.String())
	}
	for i := range d.topics {
		topics = append(topics, d.topics[i].arn.String())
	}
	for i := range d.subs {
		if text := d.subs[i].topic.String(); !slices.Contains(from, text) {
			from = append(from, text)
		}
	}
	return queues, topics, from
}

// reading is what Plan needs.
func (d *desired) reading(cfg Config) []iamStatement {
	queues, topics, _ := d.arns()
	subs := len(d.subs) > 0
	for _, p := range cfg.Prune {
		switch a, kind := pruned(p); kind {
		case pruneQueue, pruneStatement:
			queues = append(queues, a.String())
		case pruneTopic:
			topics = append(topics, a.String())
		case pruneSubscription:
			subs = true
		case pruneNothing:
		}
	}
	account := []string{}
	if subs {
		account = append(account, "sns:GetSubscriptionAttributes")
	}
	if slices.ContainsFunc(d.subs, func(s wantSub) bool { return !s.ownTopic }) {
		account = append(account, "sns:ListSubscriptions")
	}
	all := []iamStatement{
		allow("ReadQueues", []string{"sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags"}, queues),
		allow("ReadTopics", []string{"sns:GetTopicAttributes", "sns:ListTagsForResource", "sns:ListSubscriptionsByTopic"}, topics),
	}
	if len(account) > 0 {
		all = append(all, allow("ReadSubscriptions", account, []string{"*"}))
	}
	return all
}

// keyUse is a key of KMS, by any of its names, that encrypts a queue or a topic.
type keyUse struct {
	at  arn
	key string
}

// keys lets keys of KMS be used through the service whose things they encrypt, and not
// otherwise. A key or an alias that is called by its ARN may be of another account.
func keys(uses []keyUse) []iamStatement {
	type group struct{ sid, via, owner string }
	found := map[group][]string{}
	for _, use := range uses {
		key := use.key
		switch {
		case key == "":
			continue
		case strings.HasPrefix(key, "alias/"):
			key = keyPrefix(use.at) + key
		case !strings.HasPrefix(key, "arn:"):
			key = keyPrefix(use.at) + "key/" + key
		}
		g := group{sid: "UseKeys", via: use.at.service + "." + use.at.region + "." + partition.Domain(use.at.region)}
		if owner, alias, is := strings.Cut(key, ":alias/"); is {
			g.sid, g.owner, key = "UseKeysOfAliases", owner, "alias/"+alias
		}
		found[g] = append(found[g], key)
	}
	groups := slices.SortedFunc(maps.Keys(found), func(a, b group) int {
		return cmp.Or(strings.Compare(a.sid, b.sid), strings.Compare(a.via, b.via), strings.Compare(a.owner, b.owner))
	})
	all := make([]iamStatement, 0, len(groups))
	named := map[string]int{}
	for _, g := range groups {
		sid, names := g.sid, found[g]
		if named[g.sid]++; named[g.sid] > 1 {
			sid += strconv.Itoa(named[g.sid]) // IAM wants each Sid once
		}
		condition := map[string]map[string][]string{"StringEquals": {"kms:ViaService": {g.via}}}
		if g.owner != "" {
			// IAM knows no alias as a resource, only as a condition.
			slices.Sort(names)
			condition["ForAnyValue:StringEquals"] = map[string][]string{"kms:ResourceAliases": slices.Compact(names)}
			names = []string{g.owner + ":key/*"}
		}
		s := allow(sid, []string{"kms:Decrypt", "kms:GenerateDataKey"}, names)
		s.Condition = condition
		all = append(all, s)
	}
	return all
}

// keyPrefix begins the ARNs of keys and aliases that are where a queue or a topic is.
func keyPrefix(at arn) string {
	at.service, at.name = "kms", ""
	return at.String()
}

func allow(sid string, actions, resources []string) iamStatement {
	resources = slices.Clone(resources)
	slices.Sort(resources)
	return iamStatement{Sid: sid, Effect: "Allow", Action: actions, Resource: slices.Compact(resources)}
}

// iamText writes a policy. A statement without resources is left out: IAM takes
// none.
func iamText(all []iamStatement) string {
	all = slices.DeleteFunc(all, func(s iamStatement) bool { return len(s.Resource) == 0 })
	b, err := json.MarshalIndent(struct {
		Version   string
		Statement []iamStatement
	}{"2012-10-17", all}, "", "  ")
	if err != nil {
		panic(err) // strings and lists of these
	}
	return string(b) + "\n"
}
