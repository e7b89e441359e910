package main

// Where the rules live, and the tests that hold them.
const (
	transition  = "idempotency/transition.go"
	memory      = "idempotency/memory.go"
	runGo       = "idempotency/run.go"
	holdGo      = "idempotency/hold.go"
	claimLua    = "idempotency/redisstore/claim.lua"
	extendLua   = "idempotency/redisstore/extend.lua"
	completeLua = "idempotency/redisstore/complete.lua"
	releaseLua  = "idempotency/redisstore/release.lua"
	recordLua   = "idempotency/redisstore/record.lua"
	laneGo      = "idempotency/redisstore/lane.go"
)

var (
	histories  = suite{pkg: "./idempotency", run: "^TestHistories$", histories: 20_000}
	scripts    = suite{pkg: "./idempotency", run: "^TestHistoriesOnTheScripts$/^on_redis-server$", histories: 60_000}
	conforms   = suite{pkg: "./idempotency", run: "^TestMemoryStoreConforms$"}
	onRedis    = suite{pkg: "./idempotency/redisstore", run: "^TestStoreConformsOnRedis$"}
	badRecords = suite{pkg: "./idempotency/redisstore", run: "^TestStoreOnRedis$"}
	leases     = suite{pkg: "./idempotency", run: "^(TestLeaseFollowsVisibility|TestLostClaims|TestHoldThatIsTooShortToClaim)$"}
	clocks     = suite{pkg: "./idempotency", run: "^TestDeadlineHeedsBothClocks$"}
	outcomes   = suite{pkg: "./idempotency", run: "^(TestHandlerOutcomes|TestClaimReplies|TestUnrecordedCompletion|TestLostClaims)$"}
	inRuntime  = suite{pkg: "./consumer", run: "^TestHistoriesOfTheRuntime$", histories: 120}
	parks      = suite{pkg: "./consumer", run: "^TestPark$"}
	gates      = suite{pkg: "./consumer", run: "^TestPollersAndGates$"}
	waits      = suite{pkg: "./idempotency/redisstore", run: "^TestWaitsHeedContexts$"}
	contexts   = suite{pkg: "./internal/lazyctx", run: "^TestContext$"}
	holds      = suite{pkg: "./consumer", run: "^TestOneHolderKeepsItsMessages$"}
	receipts   = suite{pkg: "./consumer", run: "^TestOneHolderHandsItsNewerReceipt$"}
)

// one is a mutation of one text.
func one(name, rule, file, before, after string, test suite) mutation {
	return mutation{name: name, rule: rule, edits: []edit{{file, before, after}}, test: test}
}

var mutations = []mutation{
	// The Go transitions.
	one("complete without a look at token and fence", "I5, I10", transition,
		"	case v.State != StateInProgress || v.Token != r.Token || v.Fence != r.Fence:\n		return CompleteReply",
		"	case v.State != StateInProgress:\n		return CompleteReply", histories),
	one("release without a look at token and fence", "I5", transition,
		"if v.State == StateCompleted || v.Token != r.Token || v.Fence != r.Fence {\n		return ReleaseReply",
		"if v.State == StateCompleted {\n		return ReleaseReply", histories),
	one("release frees a completed key", "I3", transition,
		"if v.State == StateCompleted || v.Token != r.Token || v.Fence != r.Fence {\n		return ReleaseReply",
		"if v.Token != r.Token || v.Fence != r.Fence {\n		return ReleaseReply",
		suite{pkg: "./idempotency", run: "^TestMemoryStoreConforms$"}),
	one("extend without a look at token and fence", "I5", transition,
		"if v.State != StateInProgress || v.Token != r.Token || v.Fence != r.Fence {\n		return ExtendReply",
		"if v.State != StateInProgress {\n		return ExtendReply", histories),
	one("a constant fence", "I2", transition,
		"		Fence:       max(fence+1, now.micros),", "		Fence:       max(1, min(fence, now.micros)),", histories),
	one("a fence that counts, and begins again when the record is lost", "I2", transition,
		"		Fence:       max(fence+1, now.micros),", "		Fence:       max(fence+1, min(1, now.micros)),", histories),
	one("extend restores a record past the last deadline", "I1", transition,
		"		if now.millis() > r.LastDeadline {", "		if now.millis() < 0 {", histories),
	one("an extension that arrives late shortens the lease", "I1", transition,
		"	next.Deadline = max(v.Deadline, now.after(r.Lease))", "	next.Deadline = now.after(r.Lease)", histories),
	one("extend does not restore a lost record", "I15", transition,
		"		if now.millis() > r.LastDeadline {", "		if now.millis() > 0 {", conforms),
	one("a claim repeated after a lost reply finds itself busy", "I9", transition,
		"			if v.Token == r.Token {", "			if v.Token == r.Token+\"-\" {", histories),
	one("payloads compared only while in progress", "I4", transition,
		"		if mismatch(v, r.PayloadHash) {\n", "		if mismatch(v, r.PayloadHash) && v.State != StateCompleted {\n", histories),
	one("a claim overwrites a completion", "I3", transition,
		"		if v.State == StateCompleted {\n			return ClaimReply{Class: ClassDone",
		"		if v.State == StateCompleted && v.Token == r.Token {\n			return ClaimReply{Class: ClassDone", histories),
	one("a claim takes over a lease that holds", "I1", transition,
		"			if now.left(v.Deadline) > 0 {", "			if now.left(v.Deadline) > 20*time.Second {", histories),
	one("a lapsed lease is never taken over", "I6", transition,
		"			if now.left(v.Deadline) > 0 {", "			if v.Deadline > 0 {", histories),
	one("a busy claim drops the time to live", "I6", transition,
		"return holder(ClassBusy, &busy, now), written{record: &busy, keep: true}",
		"return holder(ClassBusy, &busy, now), written{record: &busy}", histories),
	one("neighbours of a process-killer are charged", "poison", transition,
		"			if !v.Alone {", "			if v.Alone && !v.Alone {", histories),
	one("deaths alone are not charged", "poison", transition,
		"			if !v.Alone {", "			if v.Attempts > 0 {", histories),
	one("a message that killed twice does not run alone", "alone", transition,
		"		if deaths >= aloneAfter && !r.Alone {", "		if deaths >= 1000*aloneAfter && !r.Alone {", histories),
	one("a redriven message goes on with its old attempts", "redrive", transition,
		"sentSince(v, r.Sent) {\n			attempts, deaths = 0, 0", "sentSince(v, r.Sent) {\n			attempts, deaths = attempts+0, 0", histories),
	one("a second copy is taken for a redrive", "redrive", transition,
		"	return sent == 0 || sent+sentSkew > v.Fence/1000\n", "	return sent == 0 || v.Fence > 0\n", histories),
	one("a repeated release refunds twice", "I9", transition,
		"	next := *v\n	if v.State == StateInProgress {", "	next := *v\n	if v.State != StateCompleted {", histories),
	one("a refund takes nothing back", "poison", transition,
		"			next.Attempts = max(next.Attempts-1, 0)", "			next.Attempts = max(next.Attempts, 0)", histories),
	one("a completion for another payload counts as the holder's", "I4", transition,
		"	case v.State == StateCompleted && !mismatch(v, r.PayloadHash):\n", "	case v.State == StateCompleted:\n", conforms),
	one("a completion forgets the payload hash", "I12", transition,
		"	next.Attempts, next.PayloadHash, next.Life = v.Attempts, v.PayloadHash, v.Life",
		"	next.Attempts, next.PayloadHash, next.Life = v.Attempts, \"\", v.Life", histories),
	one("a late completion is refused", "I10", transition,
		"	next.Attempts, next.PayloadHash, next.Life = v.Attempts, v.PayloadHash, v.Life",
		"	if v.Duplicates > 0 {\n		return CompleteReply{Class: ClassStolen, Fence: v.Fence}, written{}\n	}\n	next.Attempts, next.PayloadHash, next.Life = v.Attempts, v.PayloadHash, v.Life", histories),
	one("a completion without a record is not recorded", "I11", transition,
		"		return CompleteReply{Class: ClassRestored, Fence: r.Fence}, written{record: &next, ttl: r.TTL}",
		"		return CompleteReply{Class: ClassRestored, Fence: r.Fence}, written{}", histories),

	// The memory store.
	{name: "GET, then SET: a store that is not atomic", rule: "I15", test: conforms, edits: []edit{
		{memory, "	\"sync\"\n", "	\"runtime\"\n	\"sync\"\n"},
		{
			memory, "	w := f(v, clock{micros: now.UnixMicro()})\n",
			"	s.mu.Unlock()\n	runtime.Gosched()\n	w := f(v, clock{micros: now.UnixMicro()})\n	runtime.Gosched()\n	s.mu.Lock()\n",
		},
	}},

	// The scripts.
	one("complete.lua without a look at token and fence", "I5, I10", completeLua,
		"if s ~= 'P' or owner ~= token or given ~= fence then", "if s ~= 'P' then", scripts),
	one("release.lua without a look at token and fence", "I5", releaseLua,
		"if s == 'C' or owner ~= token or given ~= fence then", "if s == 'C' then", scripts),
	one("extend.lua without a look at token and fence", "I5", extendLua,
		"if s ~= 'P' or owner ~= token or given ~= fence then", "if s ~= 'P' then", scripts),
	one("claim.lua gives a constant fence", "I2", claimLua,
		"local given, ends", "us = math.max(fence or 0, 1)\nlocal given, ends", scripts),
	one("numbers leave the scripts as Lua prints them", "I2", recordLua,
		"return string.format('%.0f', n)", "return tostring(n)", scripts),
	one("extend.lua restores a record past the last deadline", "I1", extendLua,
		"  if now > tonumber(ARGV[5]) then", "  if now > tonumber(ARGV[5]) + 1e12 then", onRedis),
	one("extend.lua: an extension that arrives late shortens the lease", "I1", extendLua,
		"ends = math.max(tonumber(deadline), ends)\n", "", onRedis),
	one("claim.lua: a repeated claim finds itself busy", "I9", claimLua,
		"    if owner == token then", "    if owner == token .. '-' then", scripts),
	one("claim.lua answers done before it compares payloads", "I4", claimLua,
		"if s and phash ~= '' and hash ~= ''", "if s and s ~= 'C' and phash ~= '' and hash ~= ''", scripts),
	one("claim.lua overwrites a completion", "I3", claimLua,
		"if s == 'C' then return", "if s == 'C' and owner == token then return", scripts),
	one("claims without a time to live", "I6", claimLua,
		"died .. '|' .. ARGV[8], 'PX', ttl)", "died .. '|' .. ARGV[8])", scripts),
	one("claim.lua: a busy claim drops the time to live", "I6", claimLua,
		"deaths .. '|' .. lone, 'KEEPTTL')", "deaths .. '|' .. lone)", scripts),
	one("claim.lua: neighbours of a process-killer are charged", "poison", claimLua,
		"if lone ~= '1' then", "if lone == '2' then", scripts),
	one("claim.lua: who killed twice does not run alone", "alone", claimLua,
		"  if died >= 2 and", "  if died >= 2000 and", scripts),
	one("claim.lua: a redriven message goes on with its old attempts", "redrive", claimLua,
		"> math.floor(fence / 1000)) then attempts, died = 0, 0 end", "> math.floor(fence / 1000)) then died = 0 end", onRedis),
	one("claim.lua: a second copy is taken for a redrive", "redrive", claimLua,
		"(sent == 0 or sent + 60000 > math.floor(fence / 1000))", "(sent == 0 or fence ~= '0')", onRedis),
	one("release.lua refunds twice", "I9", releaseLua,
		"if s == 'P' then\n", "if s ~= 'C' then\n", scripts),
	one("complete.lua forgets the payload hash", "I12", completeLua,
		"owner .. '|' .. hash .. '|' .. life", "owner .. '||' .. life", scripts),
	one("a record of a later version counts as none", "I15", recordLua,
		"  if not s or fence == '0' then return 'bad' end", "  if not s or fence == '0' then return nil end", badRecords),

	// The middleware.
	one("delete before complete", "I4", runGo,
		"		return r.complete(ctx, h, result)\n	}\n	// A lost claim",
		"		go func() { _ = r.complete(ctx, h, result) }()\n		return result\n	}\n	// A lost claim", inRuntime),
	one("a stolen completion counts as success", "I4", runGo,
		"	return fmt.Errorf(\"%w: %s was claimed by someone else before its completion was recorded\", holdfast.ErrLeaseLost, r.id.key)",
		"	return result", outcomes),
	one("a loser's message is deleted", "I4", runGo,
		"	case ClassBusy:\n		return r.busy(lease, reply)\n", "	case ClassBusy:\n		if reply.Attempts >= 0 {\n			return nil\n		}\n		return r.busy(lease, reply)\n", inRuntime),
	one("a run settles after its lease was lost", "I4", runGo,
		"	case class == ClassStolen:\n		return lost(\"was taken over\")\n	case lapsed",
		"	case class == ClassStolen:\n		return result\n	case lapsed", outcomes),
	one("the claim outlasts the visibility", "I8", runGo,
		"			length = r.visible.Sub(sent) - r.margin\n", "			length = r.visible.Sub(sent) + r.margin\n", leases),
	one("the claim is repeated under a new token", "I9", runGo,
		"	for try := 1; ; try++ {\n		sent = time.Now()\n", "	for try := 1; ; try++ {\n		r.token = newToken()\n		sent = time.Now()\n",
		suite{pkg: "./idempotency", run: "^(TestClaimReplies|TestHandlerOutcomes)$"}),
	one("the key is computed again when the handler is done", "I12", runGo,
		"	op := context.WithoutCancel(ctx)\n	var graceEnd time.Time\n",
		"	op := context.WithoutCancel(ctx)\n	if id, err := r.mw.identify(r.m); err == nil {\n		r.id = id\n	}\n	var graceEnd time.Time\n", inRuntime),
	one("a dead-lettered message leaves its attempts behind", "redrive", runGo,
		"	case *holdfast.PermanentError:\n		return ResetAttempts\n", "	case *holdfast.PermanentError:\n		return ChargeAttempt\n", outcomes),
	one("RetryAfter is charged as an attempt", "poison", runGo,
		"		if v.Delay >= 0 && v.Delay <= longestHold {\n			return RefundAttempt\n", "		if v.Delay >= 0 && v.Delay <= longestHold {\n			return ChargeAttempt\n", outcomes),
	one("a claim that lapsed before its reply was read starts the handler", "I1", runGo,
		"	if h.deadline.passed(time.Now()) {\n", "	if reply.Class == ClassOwn && reply.Left <= 0 {\n", leases),
	one("a copy's time of sending is not told", "redrive", runGo,
		"		r.sent = m.SentAt.UnixMilli()\n", "", suite{pkg: "./idempotency", run: "^TestPoison$"}),
	one("a lost claim does not cancel its handler", "I1", holdGo,
		"	h.r.handler.Cancel(holdfast.ErrLeaseLost)\n", "", leases),
	one("an extended claim outlasts the visibility", "I8", holdGo,
		"	return h.visible.Sub(now) - h.r.margin\n", "	return h.visible.Sub(now) + h.r.margin\n", leases),
	one("the claim is extended before the visibility", "I8", holdGo,
		"	return h.visible.Sub(now) - h.r.margin\n", "	return h.r.visibility + 0*h.visible.Sub(now) - h.r.margin\n", leases),
	one("a lease is counted from the answer, not from the request", "I1", holdGo,
		"		h.deadline, h.last = deadlineAt(sent, length), reply.Deadline\n",
		"		h.deadline, h.last = deadlineAt(time.Now(), length), reply.Deadline\n", leases),
	one("a suspended machine does not notice", "I1", holdGo,
		"	return !now.Before(d.mono) || !now.Round(0).Before(d.wall)\n", "	return !now.Before(d.mono)\n", clocks),

	one("a handler that never ran loses its claim", "I11", holdGo,
		"	runs := h.timer != nil && !h.returned\n", "	runs := !h.returned\n", leases),

	// The store's round trips.
	one("a call under way never looks at its context", "waits", laneGo,
		"	for _, o := range f.pending {\n		o.linger()\n	}\n", "", waits),
	one("who is in a hurry waits like the others", "waits", "idempotency/redisstore/calls.go",
		"time.Until(d) < 3*soon", "time.Until(d) < 0*soon", waits),
	one("who waited long once never looks at its context again", "waits", "idempotency/redisstore/op.go",
		"	o.ctx, o.err, o.late, o.hasty = nil, nil, false, false\n", "	o.ctx, o.err, o.hasty = nil, nil, false\n", waits),
	one("what a batch has no room for looks at no context", "waits", laneGo,
		"		o.linger() // they have waited for one batch and wait for another\n", "		_ = o\n", waits),
	one("a lane that was slow once stays so", "waits", laneGo,
		"		} else {\n			l.late = false\n		}", "		}", waits),

	// The runtime below.
	one("a late answer puts off the next extension", "I8", "consumer/heartbeat.go",
		"		b.schedule(h, sent.Add(h.deadline.Sub(sent)/2))\n		return h.renewed", "		b.schedule(h, now.Add(h.deadline.Sub(now)/2))\n		return h.renewed", holds),
	one("the cause of a handler's end becomes another", "I1", "internal/lazyctx/lazyctx.go",
		"	if c.ended { // first of all", "	if c.ended && c.cause == nil { // first of all", contexts),
	one("a parked message is not extended", "I7", "consumer/settler.go",
		"		d.move(h, parked)\n", "		d.move(h, parked)\n		d.beat.unlist(h)\n", parks),
	one("a message is deleted by a stale receipt", "I7", "consumer/dispatcher.go",
		"	h.handle = newer.handle\n", "", receipts),
	one("a receive is issued through a closed gate", "I13", "consumer/poller.go",
		"ctx.Err() == nil && (probe || p.c.gates.Open())", "ctx.Err() == nil && (probe || p.c.gates.Open() || asked > 0)", gates),
}
