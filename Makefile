# Every chore is one command. Each sets up what it needs: nothing has to be installed first but Python 3.11+.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help setup demo test test-all lint types imports format bench clean

help:  ## List the commands.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Foreknow needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

setup: $(VENV)/.installed-dev  ## Make .venv with everything for development.

demo: $(VENV)/.installed  ## From a database to churn predictions, watched live in MLflow.
	$(BIN)/foreknow demo $(ARGS)

test: setup lint types imports  ## Lint, types, import contracts, tests.
	$(BIN)/python -m pytest -n auto $(ARGS)

test-all: setup  ## All tests, slow and browser ones too.
	$(BIN)/python -m pytest -n auto -m "not gpu" $(ARGS)

lint: setup  ## Style.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup  ## Static types of the package.
	$(BIN)/mypy

imports: setup  ## Which room may import which.
	$(BIN)/lint-imports --no-logo

format: setup  ## Format and fix what can be fixed.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup  ## Measure against the peer (prints ratios; minutes).
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python bench/run.py $(ARGS)

clean:  ## Remove what the commands made.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache dist build
