# Everything that CI runs is a target here; .ci/run runs `make test`. Each stage of a longer target is a target of
# its own, so what failed can be run alone. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# A machine without HOME (a bare container, a systemd unit) has nowhere for caches: keep them under build/.
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/build/home
endif

# No path of the checkout in what is compiled: a fresh clone finds what another one has built in Go's cache.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)

LISTEN ?= 127.0.0.1:8080
DATA   ?= build/demo-data
SEEDS  ?= 1000
ROUNDS ?= 500
KILLS  ?= 200
SOAK_FOR ?= 1h
FUZZ_TIME ?= 1h
JS     := GOOS=js GOARCH=wasm
# What only a browser can show: they run in Chromium, compiled for js.
BROWSER_SUITES := ./wasmclient/internal/idbstore ./wasmclient/internal/jsbind ./wasmclient/internal/jsengine
SCRIPTS = $$(git ls-files -co --exclude-standard '*.go' | xargs grep -l '^//go:build ignore')
NPM    := npm --prefix web --silent
# The race detector needs a C compiler; `make tools` says so where there is none. It watches everything but SQLite's C, translated to Go, which
# has no goroutines, no locks and no atomics, and is alone with its memory: with it, it takes four times as long. Code that has any of
# those must be watched, or what it hands over looks like a race.
RACE   := $(shell command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 && echo -race -gcflags=github.com/ncruces/go-sqlite3-wasm/...=-race=false)
# What is concurrent. The rest of shared computes and does nothing besides, to which shared/archtest holds it: a race has nowhere to be.
RACED  := ./shared/tables ./syncserver/... ./wasmclient/...

# Those that are joined run beside each other: each keeps one processor busy, or waits for a browser.
TEST_STAGES := tools deps fmt vet+types+modules-check staticcheck build size unit sim web-test+store e2e e2e-firefox+e2e-webkit \
	pack+release-check tutorial+mutants
LINT_STAGES := deps fmt vet staticcheck types modules-check

.PHONY: help run test lint sim bench size mutants golden docs clean soak soak-server torture kills bytes modules-fuzz vuln deploy-test machine-test litestream-test build \
	release release-check modules modules-check tools deps fmt vet staticcheck types bin bundle unit web-test store e2e e2e-firefox e2e-webkit pack tutorial

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

run: build ## build everything and serve the demo page (needs Go and Node)
	@echo "Skerry: http://$(LISTEN)/"
	@exec build/skerry serve --local-setup --listen $(LISTEN) --data $(DATA) --web web/dist

test: ## everything that CI checks, stage by stage, with times (needs Go, Node and Chromium); make soak runs the long loops in full
	@SKERRY_MUTANTS=$(or $(SKERRY_MUTANTS),15) SEEDS=$(or $(TEST_SEEDS),400) .ci/stages $(TEST_STAGES)

lint: ## formatting, vet, staticcheck (native and js) and TypeScript's types
	@.ci/stages $(LINT_STAGES)

build: deps bin bundle ## the server, the client as WebAssembly, and the web bundle

bin: ## build/skerry
	@CGO_ENABLED=0 go build -trimpath -o build/skerry ./syncserver/cmd/skerry

bundle: deps ## web/dist and web/lib: what the server serves, and what npm publishes
	@$(NPM) run build

size: ## what a page downloads, compressed, beside the limit
	@$(NPM) run size

tools: ## check that Go, Node and Chromium are here
	@.ci/tools

deps: ## npm packages by lock file, if they changed
	@.ci/deps

fmt: ## gofmt
	@unformatted=$$((git ls-files -co --exclude-standard '*.go' | xargs ls -d 2>/dev/null || true) | xargs gofmt -l); \
	  [ -z "$$unformatted" ] || { echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; }

vet: ## go vet, native and js, and modules in Go
	@go vet ./...
	@$(JS) go vet ./shared/... ./wasmclient/...
	@GOOS=wasip1 GOARCH=wasm go vet ./shared/module/guest/... ./syncserver/wasmengine/testdata/odd
	@for f in $(SCRIPTS); do go vet "$$f"; done

staticcheck: ## staticcheck, native and js
	@go build -o build/tools/staticcheck honnef.co/go/tools/cmd/staticcheck
	@build/tools/staticcheck ./...
	@$(JS) build/tools/staticcheck ./shared/... ./wasmclient/...

types: deps ## TypeScript types
	@$(NPM) run typecheck

modules: deps ## assemble the modules that are written in the text format
	@$(NPM) run modules

modules-check: deps ## whether the modules' bytes are what their text gives
	@$(NPM) run modules -- --check

unit: ## Go's tests, with the race detector for all that is concurrent
	@go test -vet=off -timeout 20m ./shared/...
	@go test -vet=off $(RACE) -run '^TestSimulation(OfTables|OfDeletions)?$$' ./shared/sim
	@go test -vet=off $(RACE) -timeout 20m $(RACED)
	@go test -vet=off -run '^Test(SuiteInterpreted|Trials|Go.*|ModuleBuild|NothingLeaks|SoakAbuser|EveryWrite.*|FailedSyncIsNotTrusted|PowerFails.*|SoakCheckFindsEveryBit|SoakChains|NewMeaning|SoakTablesAreTheSame)$$' ./wasmclient ./syncserver ./syncserver/sqlitelog ./syncserver/wasmengine ./syncserver/cmd/skerry

sim: ## the simulation; SEEDS=100000 for a long one
	@SKERRY_SIM_SEEDS=$(SEEDS) go test -count=1 -timeout 0 -run 'Simulation|Damage$$|Restores' ./shared/sim

web-test: deps ## TypeScript's tests
	@$(NPM) test

store: ## the browser's own suites, in a real browser
	@go build -o build/browsertest ./wasmclient/internal/browsertest
	@$(JS) go test -timeout 10m -exec "$(CURDIR)/build/browsertest" $(BROWSER_SUITES)

e2e: deps ## pages in a real browser against the real server
	@$(NPM) run e2e

e2e-firefox: deps ## the same in Firefox ESR: the store's suites, and what every engine must do
	@go build -o build/browsertest-firefox ./wasmclient/internal/browsertest
	@.ci/engine firefox env $(JS) go test -timeout 10m -exec "$(CURDIR)/build/browsertest-firefox" $(BROWSER_SUITES)
	@.ci/engine firefox $(NPM) run e2e engines update digests golden

e2e-webkit: deps ## the same in WebKitGTK
	@go build -o build/browsertest-webkit ./wasmclient/internal/browsertest
	@.ci/engine webkit env $(JS) go test -timeout 10m -exec "$(CURDIR)/build/browsertest-webkit" $(filter-out %/jsengine,$(BROWSER_SUITES))
	@.ci/engine webkit $(NPM) run e2e engines update digests

pack: deps ## the npm package in Vite, webpack, esbuild, React and pages without any, as people build and serve them
	@$(NPM) run pack

release: deps ## what is published of a version, under build/release: see docs/releasing.md; RELEASE_FLAGS=-snapshot to try it
	@go run .ci/release.go $(RELEASE_FLAGS)

release-check: deps ## a snapshot of a release for this machine alone, unpacked and used as a newcomer would
	@.ci/release-check

tutorial: deps ## docs/tutorial.md, followed word by word by a newcomer without a home
	@$(NPM) run tutorial

mutants: ## take each safety fix out and see its test fail; ONLY=regexp for some (make test draws 15 by the commit)
	@go run .ci/mutants.go $(if $(ONLY),-only '$(ONLY)')

bench: build ## measure, and write BENCHMARKS.md
	@.ci/bench

soak-server: bin ## SOAK_FOR=1h of faults on the real server while people write, told in docs/results/soak.txt
	@go build -o build/syncload ./syncserver/cmd/syncload
	@{ echo "make soak-server SOAK_FOR=$(SOAK_FOR), commit $$(git rev-parse --short HEAD), $$(date -u +%F), $$(nproc) cores. What it printed:"; echo; \
	  build/syncload soak --skerry build/skerry --for $(SOAK_FOR); } 2>&1 | tee build/soak.txt
	@mv build/soak.txt docs/results/soak.txt

soak: torture kills soak-server mutants ## hours of what the tests do in seconds
	@SKERRY_SOAK=1 SKERRY_SIM_SEEDS=$(or $(SOAK_SEEDS),100000) go test -count=1 -timeout 0 -v -run 'Soak|Simulation|Restores|Damage$$' ./...

bytes: ## a bit flipped at each byte of a small data directory: what skerry check finds, told in docs/results/bytes.txt
	@{ echo "make bytes, commit $$(git rev-parse --short HEAD), $$(date -u +%F), $$(nproc) cores. What it printed:"; echo; \
	  SKERRY_SOAK=1 go test -count=1 -timeout 0 -v -run TestSoakCheckFindsEveryBit ./syncserver/sqlitelog; } 2>&1 | tee build/bytes.txt
	@mv build/bytes.txt docs/results/bytes.txt

torture: build ## ROUNDS=500 of torture in a browser, told in docs/results/torture.txt
	@{ echo "make torture ROUNDS=$(ROUNDS), commit $$(git rev-parse --short HEAD), $$(date -u +%F), $$(nproc) cores. What it printed:"; echo; \
	  SKERRY_TORTURE_ROUNDS=$(ROUNDS) $(NPM) run e2e torture; } 2>&1 | tee build/torture.txt
	@mv build/torture.txt docs/results/torture.txt

kills: build ## KILLS=200 times the browser is killed at random while it writes, told in docs/results/kills.txt
	@{ echo "make kills KILLS=$(KILLS), commit $$(git rev-parse --short HEAD), $$(date -u +%F), $$(nproc) cores. What it printed:"; echo; \
	  SKERRY_KILLS=$(KILLS) $(NPM) run e2e -- durable -- --test-name-pattern "at random while it writes"; } 2>&1 | tee build/kills.txt
	@mv build/kills.txt docs/results/kills.txt

modules-fuzz: ## FUZZ_TIME=1h of modules made by wasm-opt (Debian: binaryen), told in docs/results/modules-fuzz.txt
	@{ echo "make modules-fuzz FUZZ_TIME=$(FUZZ_TIME), commit $$(git rev-parse --short HEAD), $$(date -u +%F), $$(nproc) cores. What it printed:"; echo; \
	  SKERRY_SOAK=1 SKERRY_FUZZ_TIME=$(FUZZ_TIME) nice -n 19 go test -count=1 -timeout 0 -v -run SoakModules ./syncserver/wasmengine; } 2>&1 | tee build/modules-fuzz.txt
	@mv build/modules-fuzz.txt docs/results/modules-fuzz.txt

golden: build ## keep this version's files for later versions' tests; refuses to make them again
	@.ci/golden

docs: ## the packages' manuals and the documents, under build/docs
	@go run .ci/docs.go

machine-test: build ## docs/operating on a clean Debian that systemd boots in a container, with Caddy and a browser; as root
	@.ci/machine

litestream-test: bin ## docs/operating/backup.md with Litestream and a store that speaks S3, both Go modules (its dependencies are some 300 MB)
	@cd .ci/litestream && CGO_ENABLED=0 go build -o ../../build/tools/litestream github.com/benbjohnson/litestream/cmd/litestream
	@cd .ci/litestream && SKERRY=$(CURDIR)/build/skerry LITESTREAM=$(CURDIR)/build/tools/litestream go test -count=1 -timeout 5m .

deploy-test: build ## follow docs/operating as far as this machine can, with Caddy and nginx where they are
	@.ci/deploy

vuln: ## known vulnerabilities, where the database can be reached
	@go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...

clean: ## remove everything that was built or installed, and the data of `make run`
	@chmod -R u+w build 2>/dev/null || true
	@rm -rf build web/dist web/lib web/node_modules
