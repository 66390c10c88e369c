# Everything a developer types. `make help` lists it.
SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/licenseflow
SCRIPTS := .ci/run $(wildcard deploy/local/kafka deploy/local/postgres deploy/local/setup deploy/local/run tests/with-kafka tests/sabotage/run tests/fuzz/run)
export CARGO_TARGET_DIR ?= $(CACHE)/target
export PATH := $(CACHE)/venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup run test lint bench sabotage fuzz faults kafka-up kafka-down

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: Debian packages, Kafka's jars, clients for tests
	@deploy/local/setup

run: setup ## run the platform on a real Kafka, with a first history of events; STORE=postgres for PostgreSQL
	@deploy/local/run $(if $(STORE),--store '$(STORE)')

test: setup ## run all tests, against a Kafka of their own
	@# `cargo test` alone makes no binary of a package that has no test of its own.
	@cargo build --workspace --all-targets
	@tests/with-kafka cargo test --workspace --all-targets --no-fail-fast

lint: setup ## formatting, lints as law, licences and sources of dependencies, unused ones, scripts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny check licenses bans sources
	cargo shear
	shellcheck --severity=warning --external-sources --source-path=deploy/local $(SCRIPTS)

bench: setup ## how fast it catches up, answers and is fresh, beside bare parts; BENCH='--only stores --json'
	cargo build --release -p licenseflow-cli -p licenseflow-tests --bin licenseflow --bin bench
	@"$$CARGO_TARGET_DIR/release/bench" $(BENCH)

sabotage: setup ## test the tests: each patch of tests/sabotage must turn one red
	@tests/sabotage/run

fuzz: setup ## look for bytes that break the decoder or the fold, each for MINUTES=30
	@MINUTES='$(MINUTES)' tests/fuzz/run

faults: setup ## let things fail at random, and prove that nothing is lost: FAULTS=300 (in runs of 25) SEED=7
	@cargo build -p licenseflow-cli && cargo test -p licenseflow-tests --test faults --no-run
	@# A copy, so that whoever builds meanwhile does not change what is tested.
	@copy="$$(mktemp -d)" && trap 'rm -rf "$$copy"' EXIT && cp "$$CARGO_TARGET_DIR/debug/licenseflow" "$$copy" && \
	  LICENSEFLOW_TEST_BINARY="$$copy/licenseflow" FAULTS='$(or $(FAULTS),25)' SEED='$(or $(SEED),$(shell date +%s))' \
	  cargo test -p licenseflow-tests --test faults whatever_fails -- --nocapture

kafka-up: setup ## start a Kafka on port 9092 and leave it running
	@deploy/local/kafka up

kafka-down: ## stop it, keep its data
	@deploy/local/kafka down
