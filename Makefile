.DEFAULT_GOAL := help
.PHONY: help run test check bench bench-long replay soak mutants lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.run
DEV := $(VENV)/.dev
REPLAY := $(VENV)/.replay
MUTANTS := $(VENV)/.mutants
AUDITS := tests/clients/graphql-http/node_modules/.installed
WORKERS ?= 2
SECONDS ?= 600
AFTER ?= 10000000
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

help: ## what can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(RUN) ## start Kopilka with PostgreSQL and Valkey of its own; Ctrl-C stops it
	@$(BIN)/kopilka up

test: $(DEV) $(AUDITS) ## every test, in parallel
	@$(BIN)/python -m pytest -n $(WORKERS) -q

check: $(DEV) ## everything that can be read without running: format, lint, types, imports, schema, migrations
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/kopilka schema --check
	@$(BIN)/python -m pytest -q tests/gateway/test_migrations.py

bench: $(DEV) ## measure; writes bench/results/latest.json and draws docs/performance.svg
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench chart

bench-long: $(DEV) ## measure after 10,000,000 lines; AFTER=1000000 for fewer; 15 GB of disk for a while
	@$(BIN)/python -m bench long --after $(AFTER)
	@$(BIN)/python -m bench chart

replay: $(REPLAY) ## a year of real receipts through the front door
	@$(BIN)/kopilka replay journey

soak: $(DEV) ## the long profile of the tests; SECONDS=600, KOPILKA_SOAK_SEED=... to repeat one
	@KOPILKA_SOAK_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q -m soak -s

mutants: $(MUTANTS) ## break the arithmetic on purpose and count what the tests notice; goes on where it stopped
	@$(BIN)/mutmut run --max-children $(WORKERS)
	@$(BIN)/mutmut export-cicd-stats >/dev/null
	@$(BIN)/python -m bench.mutants

lock: $(DEV) ## resolve requirements/*.in into hash-locked *.lock again
	@requirements/lock $(BIN)/uv

clean: ## forget the environment (data under .kopilka stays)
	@rm -rf $(VENV)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Kopilka needs Python 3.11 or newer: say which with make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/install-venv $(PYTHON)
	@$(PYTHON) -m venv $(VENV)

$(RUN): requirements/run.lock pyproject.toml $(VENV)/pyvenv.cfg
	@echo "Installing what Kopilka runs on (once) ..."
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(DEV): requirements/dev.lock $(REPLAY)
	@echo "Installing what Kopilka is tested with (once) ..."
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

$(REPLAY): requirements/replay.lock $(RUN)
	@echo "Installing a year of real receipts (once) ..."
	@$(PIP) install --require-hashes -r requirements/replay.lock
	@touch $@

$(MUTANTS): requirements/mutants.lock $(DEV)
	@echo "Installing what breaks the code on purpose (once) ..."
	@$(PIP) install --require-hashes -r requirements/mutants.lock
	@touch $@

$(AUDITS): tests/clients/graphql-http/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || .ci/install-node
	@echo "Installing the audits of GraphQL over HTTP (once) ..."
	@cd $(dir $<) && npm ci --silent
	@touch $@
