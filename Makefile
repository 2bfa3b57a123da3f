# The two commands: `make run` and `make test`. Nothing but Python 3.11+ and make is needed.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run demo test check format proto clean
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

clean: ## remove the virtual environment and the caches; the data folder stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
