# `make demo` and `make test` need a Debian or Ubuntu with Python 3.11 or newer and make; they install the rest, once.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
WITNESS := .venv-witness
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --no-input --disable-pip-version-check

PYTHON ?=
export PYTHON

.PHONY: help
help: ## list what make can do
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  make %-12s %s\n' "$$target" "$$text"; done

# ------------------------------------------------------------------------------------------------------------ to use it

.PHONY: install
install: $(VENV)/requirements.installed ## make .venv with the command `changeover`
	@echo "$(BIN)/changeover is there; docs/first-migration.md tells what to do with it"

ROWS ?=
LOG ?=
TARGET ?=
RIAK ?=
ARGS ?=

.PHONY: demo
demo: $(VENV)/requirements.installed mariadb $(if $(filter kafka,$(LOG)),kafka) ## move a live database and its application, here and now; ROWS=… sets its size, LOG=kafka its log, TARGET=riak what it moves into (RIAK=host:port: a real node), ARGS=… what else it takes
	@$(BIN)/changeover demo $(if $(LOG),--log $(LOG)) $(if $(TARGET),--target $(TARGET)) $(if $(RIAK),--riak $(RIAK)) $(if $(ROWS),--rows $(ROWS)) $(ARGS)

# -------------------------------------------------------------------------------------------------------- to work on it

TESTS ?=
WORKERS ?= 2

.PHONY: test
test: lint mariadb mysql mysql57 galera kafka chromium prometheus kustomize systemd-analyze $(WITNESS)/requirements-witness.installed ## run every check, then the tests; TESTS=… names some of them, or options for pytest
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: test-full
test-full: ## as test, with the long runs too: each source with each log
	@$(MAKE) test TESTS='-m "full or not full" --hypothesis-profile new-examples $(TESTS)'

SEEDS ?= 1-100000

.PHONY: simulate
simulate: $(VENV)/requirements-dev.installed ## play the schedules of SEEDS=1-1000000; ARGS='--off RULE' with a rule switched off
	@$(BIN)/python -m tests.simulation $(SEEDS) $(ARGS)

MINUTES ?= 30

.PHONY: soak
soak: $(VENV)/requirements-dev.installed mariadb ## run a pipeline under load for MINUTES=30: its memory must not grow, nor its lag
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

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

.PHONY: screenshots
screenshots: $(VENV)/requirements-dev.installed mariadb chromium ## take the manual's pictures of the live page
	@CHANGEOVER_SCREENSHOTS=docs/img $(BIN)/pytest -q tests/page/test_story.py -k falsified

.PHONY: pages
pages: $(VENV)/requirements-dev.installed ## make the pages of docs/ that come from the code: settings, metrics, commands, errors
	@for script in scripts/*_page.py; do $(BIN)/python "$$script"; done

.PHONY: dashboard
dashboard: $(VENV)/requirements.installed ## make deploy/grafana/changeover.json from the metrics
	@$(BIN)/python scripts/dashboard.py

.PHONY: docs
docs: $(VENV)/requirements-dev.installed ## build the manual into build/manual; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/manual/index.html"

.PHONY: lock
lock: ## make the lock files from pyproject.toml; UPGRADE=1 takes the newest versions
	$(COMPILE) pyproject.toml --group build --output-file requirements.lock
	$(COMPILE) pyproject.toml --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --group example --constraint requirements-dev.lock --output-file requirements-example.lock
	$(COMPILE) --group witness --output-file requirements-witness.lock

.PHONY: clean
clean: ## remove what make made
	rm -rf $(VENV) $(WITNESS) build dist *.egg-info .*_cache .hypothesis
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

# Its packages come as sources, which are built with the setuptools of the same lock; so that goes first.
$(WITNESS)/%.installed: %.lock
	@echo "installing $< into $(WITNESS)"
	@scripts/need venv $(WITNESS)
	@sed -n '/^setuptools==/,/[^\\]$$/p' $< >$(WITNESS)/setuptools.lock
	@$(WITNESS)/bin/python -m pip install --no-input --disable-pip-version-check --quiet --require-hashes -r $(WITNESS)/setuptools.lock
	@$(WITNESS)/bin/python -m pip install --no-input --disable-pip-version-check --quiet --require-hashes --no-build-isolation -r $<
	@touch $@

.PHONY: mariadb
mariadb:
	@scripts/need mariadb

.PHONY: mysql mysql57 galera kafka chromium prometheus kustomize systemd-analyze
mysql mysql57 galera kafka chromium prometheus kustomize systemd-analyze:
	@scripts/need $@ >/dev/null
