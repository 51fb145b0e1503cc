# SPDX-License-Identifier: Apache-2.0
# Thin names over cargo. `make help` lists them.

SHELL := /bin/bash
CARGO ?= cargo
BINARY := target/release/huatuo-otel
ARGS ?=
KERNEL ?= 6.1
EVENTS = $(patsubst integration/tests/%.rs,%,$(wildcard integration/tests/events_*.rs))
TEST ?= lab_faults twins block containers engines files kernel networks scheduler $(EVENTS)

.PHONY: help deps ready build run test lint integration lab lab-matrix fuzz bench gen otelcol

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

deps: ## installs what a bare Debian or Ubuntu machine lacks, for everything below
	@.ci/deps.sh all

# `run` and `test` install what the build needs by themselves.
ready:
	@.ci/deps.sh build

build: ready ## the release binary
	$(CARGO) build --release --locked -p huatuo-otel

run: build ## builds and runs the agent; ARGS="--region dev"
	$(BINARY) run $(ARGS)

test: ready ## the quick tests: no root, no network
	$(CARGO) test --locked --workspace --exclude integration

lint: ready ## format, clippy, licences, sources
	.ci/lint.sh

integration: build otelcol ## the agent on this kernel with a real Collector and Prometheus; needs root
	$(CARGO) test --locked -p integration -- --test-threads=1 --nocapture

lab: build otelcol ## tests on a booted Debian kernel; KERNEL=6.1 TEST="kernel networks", or TEST=
	$(CARGO) run --locked -p integration --bin lab -- $(KERNEL) $(TEST)

lab-matrix: build otelcol ## the same on every kernel of integration/kernels.toml
	@failed=; for kernel in $$(sed -n 's/^version = "\(.*\)"/\1/p' integration/kernels.toml); do \
		$(CARGO) run --locked -p integration --bin lab -- $$kernel $(TEST) || failed+=" $$kernel"; \
	done; [ -z "$$failed" ] || { echo "lab: failed on$$failed"; exit 1; }

fuzz: ready ## what comes from outside, in random shapes; SECONDS_EACH=600 for longer
	@.ci/deps.sh fuzz
	.ci/fuzz.sh

bench: build otelcol ## figures of docs/performance.md; needs root
	$(CARGO) bench --locked -p huatuo-otel
	$(CARGO) run --locked --release -p integration --bin bench -- $(ARGS)

gen: ready ## writes the generated files anew
	UPDATE_GENERATED=1 $(CARGO) test --locked -p huatuo-otel --test generated --test kernels -- --skip files_that --skip a_large

otelcol:
	@integration/collector/build.sh
