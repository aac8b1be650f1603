# vitalwire: `make help`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The newest Python from 3.11 on that can make an environment; `make PYTHON=...` takes another.
CAN := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c '$(CAN)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Of `make run`: not bash's variable of that name, which counts by itself.
SECONDS :=
SERVICES := deploy/services/services
# Tests start this program hundreds of times, and without its bytecode beside the source each start compiles it anew.
unexport PYTHONDONTWRITEBYTECODE
# Many tests wait for a process that they started: three workers for two cores.
WORKERS := $(shell echo $$(( $$(nproc) * 3 / 2 )))
# AGAIN=1: only what failed the last time, one after the other.
FAILED := $(if $(AGAIN),--last-failed --last-failed-no-failures none -v)
# Runs what follows with the addresses of the real parts; without them it would not measure what it says.
REAL = real=$$($(SERVICES) status >&2 && $(SERVICES) env) || { echo "first: $(SERVICES) up"; exit 3; }; env $$real
LOCK = $(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links pyproject.toml

.PHONY: help run test check integration faults faults-quick bench bench-quick bench-data bundle lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
	@echo; echo "  first: make run       a simulated ward, embedded servers included; Ctrl-C ends it"

run: $(VENV)/.installed ## a ward of 12 beds on this machine; SECONDS=60 ends by itself
	@exec $(BIN)/vitalwire demo $(if $(SECONDS),--seconds $(SECONDS))

test: $(VENV)/.installed-dev ## everything that needs no server beyond the embedded ones
	$(BIN)/python -m pytest $(or $(FAILED),-n $(WORKERS) --dist loadfile) -m "not integration and not faults"

check: $(VENV)/.installed-dev ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

integration: $(VENV)/.installed-dev ## on real Kafka, TimescaleDB and mosquitto (deploy/services/services up)
	@$(REAL) $(BIN)/python -m pytest $(FAILED) -m integration

faults: $(VENV)/.installed-dev ## break the real parts and count what is lost; writes faults.json
	@$(REAL) $(BIN)/python -m pytest -m faults tests/faults

faults-quick: $(VENV)/.installed-dev ## the same with short outages, without the cases that take minutes; for CI
	@$(REAL) VITALWIRE_FAULTS=quick $(BIN)/python -m pytest -m faults tests/faults

bench: $(VENV)/.installed-dev ## speed, as ratios side by side; writes bench.json; PART=edge or NAME=one_figure alone
	@$(REAL) $(BIN)/python -m benchmarks $(PART) $(NAME)

bench-quick: $(VENV)/.installed-dev ## the same on less data
	@$(REAL) $(BIN)/python -m benchmarks --quick

bench-data: $(VENV)/.installed-dev ## the store of 292 million values that figures are measured on, once; QUICK=1: 3 million
	@$(REAL) $(BIN)/python -m benchmarks.fixture $(if $(QUICK),--quick)

bundle: $(VENV)/.installed-dev ## all that a box without internet is installed from, in dist/: make bundle KEY=release.key
	@$(BIN)/python -m deploy.bundle $(if $(KEY),--key $(KEY)) $(if $(ADVISORIES),--advisories $(ADVISORIES))

lock: $(VENV)/.installed-dev ## write the hashed lock files anew from pyproject.toml
	$(LOCK) -o requirements.lock
	$(LOCK) -o requirements-dev.lock --extra dev -c requirements.lock
	echo pip | $(subst pyproject.toml,-,$(LOCK)) -o deploy/bundle/pip.lock

clean: ## remove the environment and what tests left; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c '$(CAN)' 2>/dev/null || \
		{ echo "vitalwire needs Python 3.11 or newer with venv: sudo apt install python3-venv" >&2; exit 2; }
	@echo "making the environment with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# From hashes alone: also what builds this package is locked, hence no build isolation. A lock is whole, hence no deps: what
# pyproject.toml leaves out of it ([tool.uv]) is not asked for.
$(VENV)/.installed: requirements.lock
$(VENV)/.installed-dev: requirements-dev.lock
$(VENV)/.installed $(VENV)/.installed-dev: $(VENV)/.made pyproject.toml
	@count=$$(grep -c '==' $(filter %.lock,$^)); n=0; \
	echo "installing $$count packages from $(filter %.lock,$^)"; \
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-deps -r $(filter %.lock,$^) | \
	while read -r what name _; do case $$what in \
		Collecting) echo "  $$((++n)) of $$count: $$name" ;; \
		Installing) echo "  unpacking" ;; \
	esac; done
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@
