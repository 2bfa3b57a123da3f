# The two commands: `make run` and `make test`. Nothing but Python 3.11+ and make is needed.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run demo test chaos check format proto clean bench bench-short
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with PYTHON=..."; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.txt ..."
	@$(PY) -m pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing requirements-dev.txt ..."
	@$(PY) -m pip install --quiet --requirement requirements-dev.txt
	@touch $@

run: $(VENV)/.runtime ## start everything on this machine, until Ctrl-C
	@$(PY) manage.py up

demo: $(VENV)/.runtime ## place orders of different fates and watch them, on what runs or on its own
	@$(PY) manage.py demo

test: $(VENV)/.development ## the whole test suite, on servers of its own
	@$(PY) -m pytest $(ARGS)

chaos: SEED := $(or $(SEED),$(shell date +%s))
chaos: ROUNDS ?= 20
chaos: $(VENV)/.development ## the suites under fire in their long form; SEED= repeats a run, ROUNDS= is how long
	@echo "seed $(SEED), $(ROUNDS) rounds"
	@CHAOS_SEED=$(SEED) CHAOS_ROUNDS=$(ROUNDS) $(PY) -m pytest tests/chaos \
		tests/contract/test_event_store_machine.py tests/integration/test_log_concurrency.py $(ARGS)

check: $(VENV)/.development ## lint, format, types, import contracts, production settings, migrations
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(PY) tests/production_check.py

format: $(VENV)/.development ## mend what ruff can mend
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

proto: $(VENV)/.development ## generate the gRPC code from eventstore.proto
	@$(PY) -m eventstore.proto.generate

$(VENV)/.benchmarks: requirements-bench.txt $(VENV)/.runtime
	@echo "Installing requirements-bench.txt ..."
	@$(PY) -m pip install --quiet --requirement requirements-bench.txt
	@# Its classifiers name Django 5.2; what it asks for on Python 3.11 does not.
	@$(PY) -m pip install --quiet --no-deps 'eventsourcing-django>=0.6,<0.7'
	@touch $@

bench: $(VENV)/.benchmarks ## measure, on servers of its own; ARGS="append --callers 32" for a part
	@$(PY) -m benchmarks $(or $(ARGS),all)

bench-short: $(VENV)/.benchmarks ## the same, tiny: shows that it runs, its timings mean nothing
	@$(PY) -m benchmarks --short $(or $(ARGS),all) --json benchmarks/results/short.json

clean: ## remove the virtual environment and the caches; the data folder stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
