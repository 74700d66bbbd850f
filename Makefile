# Two commands matter: `make run` for a first look, `make test` for everything that must hold.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
BINARY := target/release/chasqui
# What the build needs from Debian; tests/packages.txt names what the tests talk to.
BUILD_PACKAGES := build-essential clang libclang-dev ccache pkg-config ca-certificates
TEST_PACKAGES = $(shell sed 's/\#.*//' tests/packages.txt 2>/dev/null)

# Settings of the compilers, for build steps only: MALLOC_CONF would also reach a relay started from the same shell.
# RocksDB is built by clang (g++ takes several times as long), through ccache where it is there. Huge pages for the
# compilers' heaps (glibc's for clang, jemalloc's for rustc) halve the build on virtual machines.
define BUILD_ENV
ccache=$$(command -v ccache >/dev/null && echo "ccache " || true); \
if command -v clang++ >/dev/null; then export CC="$${ccache}clang" CXX="$${ccache}clang++"; \
elif [ -n "$$ccache" ]; then export CC="ccache cc" CXX="ccache c++"; fi; \
export CCACHE_BASEDIR="$(CURDIR)" GLIBC_TUNABLES="glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864" MALLOC_CONF="thp:always,metadata_thp:always";
endef

# Installs the packages in $(1) that are missing; says what it does. Where it may not, says what to do and gives $(2).
# RUNLEVEL=1 keeps Debian from starting the servers that tests start themselves.
define INSTALL
missing=(); for package in $(1); do \
    dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); done; \
if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi; \
if ! command -v apt-get >/dev/null; then echo "setup: this is not Debian; please install what corresponds to: $${missing[*]}"; exit 0; fi; \
sudo=(); if [ "$$(id -u)" -ne 0 ]; then \
    if ! sudo -n true 2>/dev/null; then echo "setup: please run as root: apt-get install $${missing[*]}"; exit $(2); fi; \
    sudo=(sudo -n); fi; \
echo "setup: installing $${missing[*]}"; \
"$${sudo[@]}" apt-get update -qq </dev/null; \
"$${sudo[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" </dev/null >/dev/null
endef

# Unpacks a package that cannot be installed beside others, with the libraries that it names installed.
UNPACKED := /usr/local/lib/chasqui-tests
define UNPACK
if [ -e "$(UNPACKED)/$(1)/usr" ] || ! command -v apt-get >/dev/null; then exit 0; fi; \
sudo=(); if [ "$$(id -u)" -ne 0 ]; then \
    if ! sudo -n true 2>/dev/null; then echo "setup: please run as root: make setup-test"; exit 0; fi; \
    sudo=(sudo -n); fi; \
echo "setup: unpacking $(1) into $(UNPACKED)"; \
libraries=($$(apt-cache depends --important $(1) | sed -n 's/^ *Depends: \(lib[^ ]*\)$$/\1/p')); \
"$${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${libraries[@]}" </dev/null >/dev/null; \
folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; cd "$$folder"; apt-get download -qq $(1); \
"$${sudo[@]}" install -d "$(UNPACKED)/$(1)"; "$${sudo[@]}" dpkg -x "$$folder"/*.deb "$(UNPACKED)/$(1)"
endef

.PHONY: help
help: ## Show this list
	@echo "make targets:"; sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

.PHONY: setup
setup: ## Install what the build needs and is missing (Debian packages)
	@$(call INSTALL,$(BUILD_PACKAGES),1)
	@command -v $(CARGO) >/dev/null || { echo "setup: Rust is missing; see https://rustup.rs"; exit 1; }

.PHONY: setup-test
setup-test: setup ## Install also what the tests talk to
	@$(call INSTALL,$(TEST_PACKAGES),0)
	@$(call UNPACK,exim4-daemon-light)

.PHONY: build
build: setup ## Build the relay (release profile)
	@$(BUILD_ENV) $(CARGO) build --locked --release --package chasqui

.PHONY: run
run: build ## Start relay and sink, send messages through, show what became of them; Ctrl-C ends it
	@$(BINARY) quickstart

.PHONY: test
test: setup-test ## Run all tests
	@$(BUILD_ENV) $(CARGO) build --locked --package chasqui; \
	if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --locked --workspace --no-run; unset MALLOC_CONF GLIBC_TUNABLES; \
	    $(CARGO) nextest run --locked --workspace --no-fail-fast; \
	else \
	    $(CARGO) test --locked --workspace --no-run; unset MALLOC_CONF GLIBC_TUNABLES; \
	    $(CARGO) test --locked --workspace --no-fail-fast; \
	fi

# What `make fuzz` does may be set: make fuzz FUZZ_SECONDS=3600 FUZZ_TARGETS="session record"
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(wildcard tests/fuzz/corpus/*))
FUZZ_DRIVER = target/debug/fuzz-driver

.PHONY: fuzz
fuzz: setup ## Give each parser and session a minute of libFuzzer's inputs, two at a time; what breaks one is in target/fuzz/found
	@$(BUILD_ENV) RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/tests/fuzz/rustc" $(CARGO) build --locked --workspace --bin fuzz-driver \
	    --features fuzz/libfuzzer
	@mkdir -p target/fuzz/found $(addprefix target/fuzz/corpus/,$(FUZZ_TARGETS)); \
	printf '%s\n' $(FUZZ_TARGETS) | xargs -P 2 -I NAME sh -c 'FUZZ_TARGET=NAME $(FUZZ_DRIVER) -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
	    -timeout=10 -rss_limit_mb=1024 -artifact_prefix=target/fuzz/found/NAME- target/fuzz/corpus/NAME tests/fuzz/corpus/NAME >target/fuzz/NAME.log 2>&1 \
	    || { echo "fuzz: NAME is broken:"; grep -a -v "^#" target/fuzz/NAME.log | tail -n 40; exit 255; }; echo "fuzz: NAME holds: $$(grep -a "^Done" target/fuzz/NAME.log)"'

.PHONY: check
check: setup ## Formatting, lints, layers and other tidy rules, current documents
	@$(CARGO) fmt --all --check
	@$(BUILD_ENV) $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(BUILD_ENV) $(CARGO) run --locked --quiet --package xtask -- tidy
	@$(BUILD_ENV) $(CARGO) run --locked --quiet --package xtask -- gen --check

.PHONY: gen
gen: setup ## Write the generated documents
	@$(BUILD_ENV) $(CARGO) run --locked --quiet --package xtask -- gen

.PHONY: setup-bench
setup-bench: setup ## Install also what the benchmarks need
	@$(call INSTALL,valgrind,1)

# Builds the benchmarks; what follows runs in a plain environment.
BUILD_BENCHES = $(BUILD_ENV) $(CARGO) bench --locked --quiet --package benches --no-run; unset MALLOC_CONF GLIBC_TUNABLES;
BENCH = $(CARGO) bench --locked --quiet --package benches --bench

.PHONY: bench
bench: setup-bench ## Time the short set; count instructions, and fail if a hot path costs over 5 % more than accepted
	@$(BUILD_BENCHES) $(BENCH) timing -- --quick; $(BENCH) instructions

.PHONY: bench-full
bench-full: setup ## Time everything that can be timed
	@$(BUILD_BENCHES) $(BENCH) timing

.PHONY: bench-accept
bench-accept: setup-bench ## Count instructions and accept the counts
	@$(BUILD_BENCHES) $(BENCH) instructions -- --accept

# What `make bench-peers` does may be set: make bench-peers BENCH_SCENARIOS=reused BENCH_ROUNDS=5
BENCH_PEERS ?= chasqui,postfix
BENCH_SCENARIOS ?= small,reused,medium
BENCH_ROUNDS ?= 3
BENCH_OUT ?= target/bench-peers

.PHONY: loadtest
loadtest: setup ## Build the load test (docs/loadtest.md)
	@$(BUILD_ENV) $(CARGO) build --locked --release --package loadtest

.PHONY: bench-peers
bench-peers: build loadtest ## Compare the relay with Postfix on this machine, round by round; installs Postfix (needs root)
	@$(call INSTALL,postfix,1)
	@target/release/chasqui-loadtest compare --peers $(BENCH_PEERS) --scenarios $(BENCH_SCENARIOS) --rounds $(BENCH_ROUNDS) --out $(BENCH_OUT); \
	echo "bench-peers: report.html, report.md and report.json are in $(BENCH_OUT)"

.PHONY: clean
clean: ## Remove what was built and what a first look left behind
	@$(CARGO) clean
	@rm -rf .run
