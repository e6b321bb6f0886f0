# Everything a newcomer needs, with Python 3.11+ and make alone. `make` lists it.

# The first of these that is new enough; `make test PYTHON=...` decides otherwise.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check format lint types floors bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is as new as the dependencies that were installed; an environment without pip is half made.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "coda needs Python 3.11 or newer; name one with PYTHON=/path/to/python" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing coda and its tools into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## Record an agent's run; verify, inspect, fork, compare and query it (offline)
	@$(BIN)/python examples/demo/demo.py $(ARGS)

test: $(STAMP) ## Run the tests on all cores (ARGS="-m 'not slow'" for the quick ones)
	@$(BIN)/python -m compileall -q -x tests/corpus coda tests benchmarks  # hundreds of processes import them
	@$(BIN)/python -m pytest -q -n auto --dist loadscope $(ARGS)

check: lint types floors test ## Everything CI runs: format, lint, types, floors, tests

format: $(STAMP) ## Rewrite the code in the one format, and mend what ruff can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

lint: $(STAMP) ## Check format and lint
	@$(BIN)/ruff format --quiet --check --diff .
	@$(BIN)/ruff check --quiet .

types: $(STAMP) ## Check types (mypy --strict, tests too)
	@$(BIN)/mypy --no-error-summary

floors: $(STAMP) ## Check that imports go down only
	@$(BIN)/lint-imports --no-cache >$(VENV)/floors.txt 2>&1 || { cat $(VENV)/floors.txt; exit 1; }

bench: $(STAMP) ## Measure against the targets, in ratios to named peers
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove environments and caches
	@rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
