# Every recipe is one call; `make help` lists the targets from the comments.
SUITES := pure dpdk lab licence demo
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench static soak clean-machine test-page $(SUITES:%=test-%)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## prepare a Debian 12 machine (root, 1.5 GB of disk, about 2 minutes); DRY_RUN=1 only says how
	@tests/setup/machine.sh $(if $(DRY_RUN),plan,up)

clean-machine: ## undo what `make setup` did on this machine
	@tests/setup/machine.sh down

demo: setup ## show the whole thing on this machine; KEEP=1 leaves it running
	@KEEP=$(KEEP) tests/setup/suite.sh show

test: setup ## lints and all suites: pure, dpdk, lab, licence, demo
	@tests/setup/suite.sh check $(SUITES)

test-pure: setup ## decisions only: no device, no socket, no clock
	@tests/setup/suite.sh pure

test-dpdk: setup ## DPDK on ring, pcap and null ports
	@tests/setup/suite.sh dpdk

test-lab: setup ## the real programs with real peers in network namespaces (root)
	@tests/setup/suite.sh lab

test-licence: setup ## the licence plane as processes: attacks, crashes, the bus, clocks (root)
	@tests/setup/suite.sh licence

test-demo: setup ## `make demo` without a terminal, its report checked
	@tests/setup/suite.sh demo

test-page: setup ## the web page in headless Chromium (installs it, 310 MB)
	@tests/setup/suite.sh page

check: setup ## formatting, lints, docs, licences, directions of dependence
	@tests/setup/suite.sh check

bench: setup ## ratios to testpmd in one run, instructions per packet; under 6 minutes
	@tests/setup/suite.sh bench

static: setup ## the tmm for containers, with DPDK inside: built, shown, no shared object of DPDK
	@tests/setup/suite.sh static

soak: setup ## the static build, then the lab suite twenty times over
	@tests/setup/suite.sh soak
