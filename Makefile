# Two commands do everything: `make up` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_FOR_TESTS := $(VENV)/.installed-for-tests
PIP := $(BIN)/pip --disable-pip-version-check install --progress-bar off

.PHONY: up test test-long check bench man reference clean
.DEFAULT_GOAL := up

# What running needs, and zeek-client, which the tour in README.md calls.
$(INSTALLED): pyproject.toml
	@echo 'Making a virtual environment in $(VENV), once; then installing zeekfleet and what it needs to run.'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[zeek-client]'
	touch $@

$(INSTALLED_FOR_TESTS): pyproject.toml $(INSTALLED)
	@echo 'Installing what the tests need, once.'
	$(PIP) --editable '.[dev]'
	touch $@

# Supervisor, stem, controller and agent in the foreground, with a small cluster; Ctrl-C stops all of it.
up: $(INSTALLED)
	@echo 'Ctrl-C stops everything. In another terminal, this makes zeekfleet and zeek-client available:'
	@echo "  export PATH=\"$$(cd $(BIN) && pwd):\$$PATH\""
	@exec $(BIN)/zeekfleet up examples/cluster.ini --state-dir var/state --spool-dir var/spool

test: $(INSTALLED_FOR_TESTS)
	$(BIN)/pytest -m "not long" --numprocesses 2 --dist loadscope

test-long: $(INSTALLED_FOR_TESTS)
	$(BIN)/pytest -m long --timeout 1800 --numprocesses 2 --dist loadscope

check: $(INSTALLED_FOR_TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED_FOR_TESTS)
	$(BIN)/python bench/codec.py
	$(BIN)/python bench/endpoint.py
	$(PIP) --editable '.[bench]'
	$(BIN)/python bench/supervision.py
	$(BIN)/python bench/zeek_cluster.py

# Manual pages, for packages: `make man MANDIR=/usr/share/man/man1`.
MANDIR ?= var/man/man1
man: $(INSTALLED)
	$(BIN)/zeekfleet help --man $(MANDIR)

# The pages of docs/reference/ that follow from the declarations of settings, keys and commands.
reference: $(INSTALLED)
	$(BIN)/zeekfleet help --reference docs/reference

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
