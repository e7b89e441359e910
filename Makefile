# Holdfast needs Go 1.26 and make. `make help` explains the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# How long `make fuzz` spends on each target, e.g. make fuzz FUZZTIME=1m
FUZZTIME ?= 5s
# What `make test` and `make race` run, e.g. make test PKG=./consumer TESTFLAGS=-v
PKG ?= ./...
TESTFLAGS ?=
# What `make chaos` is given, e.g. make chaos CHAOSFLAGS="-seed 7 -messages 20000"
CHAOSFLAGS ?=

# How many histories `make histories` runs.
HISTORIES ?= 1000000

# The linter is a tool and not a dependency: it is built once into bin/, from the
# Go module proxy, and go.mod does not know of it.
LINT_VERSION := v2.15.0
LINT := bin/golangci-lint-$(LINT_VERSION)

# scripts/setup may put a redis-server here.
export PATH := $(CURDIR)/bin:$(PATH)

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Process orders on an SQS and a Redis inside the process, then fan them out from an SNS to three queues, and show the ledgers (under 30 s each)
	go run ./examples/orders
	go run ./examples/fanout

.PHONY: test
test: ## Run all tests, install redis-server where it is missing; PKG=./consumer for one package, TESTFLAGS=-v for flags of go test
	@scripts/setup redis-server
	@scripts/test $(TESTFLAGS) $(PKG)

.PHONY: integration
integration: ## Run the suites and the demo on real LocalStack and Redis, on this machine and the suites in containers too; installs them on Debian 12 as root (2 minutes, the first time 4)
	@scripts/setup redis-server
	scripts/localstack-suites

.PHONY: race
race: ## Run all tests under the race detector; needs a C compiler and installs it as test does redis-server
	@scripts/setup redis-server cc
	@CGO_ENABLED=1 scripts/test -race $(TESTFLAGS) $(PKG)

.PHONY: lint
lint: $(LINT) ## Check format and style; builds golangci-lint into bin/ the first time (about 2 minutes)
	$(LINT) run ./...

.PHONY: bench
bench: ## Measure the runtime against a hand-written SDK loop, what idempotency adds, and sending (takes minutes)
	@scripts/setup redis-server
	go run ./internal/bench dedup
	go run ./internal/bench send
	go run ./internal/bench

.PHONY: chaos
chaos: ## Kill, stop and cut off real worker processes and a real redis-server under 200,000 messages, and write docs/chaos.md; CHAOSFLAGS="-messages 1000000" for more
	@scripts/setup redis-server
	go run ./internal/chaos -report docs/chaos.md $(CHAOSFLAGS)

.PHONY: million
million: ## Send a million messages through failing entries, throttles and lost replies, and hold each result against the queue (minutes)
	go test ./producer -run TestMillion -v -timeout 1h -sends 1000000

.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME each (default 5s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: mutants
mutants: ## Break the rules of the idempotency protocol one by one in a copy, show that tests notice, and write docs/mutants.md
	@scripts/setup redis-server
	go run ./internal/mutants

.PHONY: histories
histories: ## Check the idempotency protocol on a million random histories from HOLDFAST_SEED on; HISTORIES=20000 for fewer
	@scripts/setup redis-server
	HOLDFAST_HISTORIES=$(HISTORIES) go test -count=1 -timeout 0 -v -run '^TestHistories' ./idempotency

$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@
