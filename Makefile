# Two commands matter: `make demo` and `make test`. Everything they need is installed into .venv; no root, no services.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint bench lock clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## create .venv and install the locked dependencies

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "scoresync needs Python 3.11 or newer; $(PYTHON) is older. Try: make setup PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: setup ## install if needed, then run the main job twice against a local Salesforce sandbox
	$(BIN)/scoresync demo

test: setup ## install if needed, then the whole test suite (brings its own Redis and PostgreSQL)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

test-slow: setup ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: setup ## ruff and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## ratios against committed baselines, with peak memory
	$(BIN)/python -m bench

lock: setup ## renew requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --extra dev --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --strip-extras -o requirements.lock pyproject.toml

clean: ## remove what setup, demo and tests made
	rm -rf $(VENV) var .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
