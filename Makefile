# vitalwire: `make help`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The newest Python from 3.11 on that can make an environment; `make PYTHON=... ` takes another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
SECONDS :=
PYTEST := $(BIN)/python -m pytest
SERVICES := deploy/services/services

.PHONY: help run test check integration faults bench bench-quick lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
	@echo; echo "  first: make run       a simulated ward, embedded servers included; Ctrl-C ends it"

run: $(VENV)/.installed ## a ward of 12 beds on this machine; SECONDS=60 ends by itself
	@exec $(BIN)/vitalwire demo $(if $(SECONDS),--seconds $(SECONDS))

test: $(VENV)/.installed-dev ## everything that needs no server beyond the embedded ones
	$(PYTEST) -m "not integration and not faults"

check: $(VENV)/.installed-dev ## format, lint, types, imports, lines by room
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python tests/lines.py

integration: $(VENV)/.installed-dev ## on real Kafka, TimescaleDB and mosquitto (deploy/services/services up)
	env $$($(SERVICES) env) $(PYTEST) -m integration

faults: $(VENV)/.installed-dev ## break the real parts and count what is lost; writes faults.json
	env $$($(SERVICES) env) $(PYTEST) -m faults tests/faults

bench: $(VENV)/.installed-dev ## speed, as ratios side by side; writes bench.json
	env $$($(SERVICES) env) $(BIN)/python -m benchmarks

bench-quick: $(VENV)/.installed-dev ## the same on less data
	env $$($(SERVICES) env) $(BIN)/python -m benchmarks --quick

lock: $(VENV)/.installed-dev ## write the hashed lock files anew from pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --extra dev pyproject.toml -o requirements-dev.lock

clean: ## remove the environment and what tests left; data/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@[ -n "$(PYTHON)" ] || { echo "vitalwire needs Python 3.11 or newer with venv: sudo apt install python3-venv"; exit 2; }
	@echo "making the environment with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made requirements.lock pyproject.toml
	@echo "installing $$(grep -c '==' requirements.lock) packages from the lock file"
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock | sed -u 's/^/  /' | grep --line-buffered -vE 'Using cached|already satisfied|find links' || [ $${PIPESTATUS[0]} = 0 ]
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made requirements-dev.lock pyproject.toml
	@echo "installing $$(grep -c '==' requirements-dev.lock) packages from the lock file"
	@$(BIN)/python -m pip install --disable-pip-version-check -q --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@
