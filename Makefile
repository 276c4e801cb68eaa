# Two commands do everything: `make up` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: up test test-long check bench clean
.DEFAULT_GOAL := up

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# Supervisor, stem, controller and agent in the foreground, with a small cluster; Ctrl-C stops all of it.
up: $(STAMP)
	@exec $(BIN)/zeekfleet up examples/cluster.ini --state-dir var/state --spool-dir var/spool

test: $(STAMP)
	$(BIN)/pytest -m "not long" --numprocesses 2 --dist loadscope

test-long: $(STAMP)
	$(BIN)/pytest -m long --timeout 1800

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python bench/codec.py
	$(BIN)/python bench/endpoint.py
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python bench/supervision.py
	$(BIN)/python bench/zeek_cluster.py

clean:
	rm -rf $(VENV) var .mypy_cache .ruff_cache .pytest_cache .hypothesis
