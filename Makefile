# `make demo` and `make test` need a Debian or Ubuntu with Python 3.11 or newer and make; they install the rest, once.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --no-input --disable-pip-version-check

PYTHON ?=
export PYTHON

.PHONY: help
help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  make %-8s %s\n' "$$target" "$$text"; done

# ------------------------------------------------------------------------------------------------------------ to use it

ROWS ?=
LOG ?=
ARGS ?=

.PHONY: demo
demo: $(VENV)/requirements.installed mariadb $(if $(filter kafka,$(LOG)),kafka) ## migrate a live database, here and now; ROWS=… sets its size, LOG=kafka its log, ARGS=… what else it takes
	@$(BIN)/changeover demo $(if $(LOG),--log $(LOG)) $(if $(ROWS),--rows $(ROWS)) $(ARGS)

# -------------------------------------------------------------------------------------------------------- to work on it

TESTS ?=

.PHONY: test
test: lint mariadb mysql kafka ## run every check, then the tests; TESTS=… names some of them, or options for pytest
	$(BIN)/pytest $(TESTS)

.PHONY: test-full
test-full: ## as test, with the long runs too: each source with each log
	@$(MAKE) test TESTS='-m "full or not full" $(TESTS)'

.PHONY: lint
lint: $(VENV)/requirements-dev.installed ## run every check that needs no server
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

# The locks name versions and hashes and no address: pip takes its own, as everywhere on that machine.
COMPILE = "$$(scripts/need uv)" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
UPGRADE ?=

.PHONY: settings
settings: $(VENV)/requirements.installed ## make docs/settings.md from the settings
	@$(BIN)/python scripts/settings_page.py

.PHONY: lock
lock: ## make the lock files from pyproject.toml; UPGRADE=1 takes the newest versions
	$(COMPILE) pyproject.toml --group build --output-file requirements.lock
	$(COMPILE) pyproject.toml --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock

.PHONY: clean
clean: ## remove what make made
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -------------------------------------------------------------------------------------------------------- what they need

$(VENV)/made:
	@scripts/need venv $(VENV)
	@touch $@

$(VENV)/%.installed: %.lock pyproject.toml | $(VENV)/made
	@echo "installing $< into $(VENV)"
	@$(PIP) install --quiet --require-hashes -r $<
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: mariadb
mariadb:
	@scripts/need mariadb

.PHONY: mysql kafka
mysql kafka:
	@scripts/need $@ >/dev/null
