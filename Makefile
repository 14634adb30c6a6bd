# Everything a contributor types. `make help` lists it.
SHELL := /bin/bash
GO ?= go
BIN := bin
PREFIX ?= /usr/local
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
LINT := $(BIN)/golangci-lint
FUZZTIME ?= 20s
# The race detector takes a C compiler; without one the same tests run without it.
RACE ?= $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
IMAGE ?= ghcr.io/kubestickytop/stickytop:$(VERSION)
# Of docker, podman and buildah the first that answers; docker's client is often there without a daemon.
DOCKER ?= $(firstword $(foreach p,docker podman buildah,$(shell $(p) info >/dev/null 2>&1 && echo $(p))))

.DEFAULT_GOAL := help
.PHONY: help rules build demo install uninstall test race image lint fmt vet golden fuzz bench cover verify lab lab-down e2e ci clean

help: ## list what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## build bin/stickytop and its kubectl plugin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/stickytop ./cmd/stickytop
	ln -sf stickytop $(BIN)/kubectl-stickytop
	ln -sf stickytop $(BIN)/kubectl_complete-stickytop

demo: build ## start the demo: no cluster, no root
	$(BIN)/stickytop demo $(SCENARIO)

install: build ## install stickytop and kubectl-stickytop into $(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/stickytop $(DESTDIR)$(PREFIX)/bin/stickytop
	ln -sf stickytop $(DESTDIR)$(PREFIX)/bin/kubectl-stickytop
	ln -sf stickytop $(DESTDIR)$(PREFIX)/bin/kubectl_complete-stickytop

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,stickytop kubectl-stickytop kubectl_complete-stickytop)

test: ## run every test that needs Go alone
	$(GO) test ./...

race: ## the same with the race detector, as CI does
	$(GO) test $(RACE) -timeout 20m ./...

image: ## build the image of agents: IMAGE=registry/stickytop:tag DOCKER=podman BASE=scratch GOLANG=mirror/golang:1.26
	@test -n "$(DOCKER)" || { echo "make image: none of docker, podman and buildah answers; DOCKER=… names another" >&2; exit 1; }
	$(DOCKER) build $(foreach a,VERSION BASE GOLANG,$(if $($(a)),--build-arg $(a)=$($(a)))) -t $(IMAGE) .

vet:
	$(GO) vet ./...

lint: $(LINT) ## run the linters of .golangci.yml
	$(LINT) run ./...

$(LINT): tools/go.mod
	$(GO) -C tools build -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

fmt: ## format
	gofmt -w $$(git ls-files '*.go')

golden: ## rewrite golden files from what the code prints now
	$(GO) test ./internal/report ./internal/ui -update

rules: ## write docs/rules.md from the rules
	$(GO) test ./internal/findings -run TestPage -update

fuzz: ## run every fuzz target for FUZZTIME
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p; done; done

bench: ## measure what docs/performance.md promises; beside k6 where it is in PATH or K6 names it
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	$(GO) test -run '^$$' -bench Lint -benchtime 3x ./cmd/stickytop
	$(GO) test -count=1 -run Bytes -v ./internal/ui | grep -v '^=== '
	$(GO) test -run '^$$' -bench Start -benchtime 20x ./cmd/stickytop
	$(GO) test -run '^$$' -bench 'BigCluster|Agent' -benchtime 1x ./cmd/stickytop

cover: ## coverage by package
	$(GO) test -cover ./...

verify: ## what must hold before a commit lands
	test -z "$$(gofmt -l $$(git ls-files '*.go'))"
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) -C test/lab vet ./...

lab: ## start a real Kubernetes without containers (builds it once, see docs/lab.md)
	$(GO) -C test/lab run ./cmd/lab up

lab-down: ## end it; nothing stays but the cache
	$(GO) -C test/lab run ./cmd/lab down

e2e: build ## run the end-to-end tests against the lab; what cannot run here is said first
	@$(GO) -C test/lab run ./cmd/lab check || true
	$(GO) -C test/lab test $(RACE) -count=1 -p 1 -timeout 30m ./...

ci: ## what CI runs
	.ci/run

clean: ## remove what was built
	rm -rf $(BIN) dist
