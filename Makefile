# make demo, make test: each installs what it needs into .venv on its first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: demo test lint peers bench docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   train CLIP on OpenMoji and write runs/demo/report.html"
	@echo "make test   lint, types and all tests"
	@echo "make lint   lint and types only"
	@echo "make peers  compare tellapart.compat with the libraries it stands in for"
	@echo "make bench  what importing costs beyond torch, and the loss against the plain formulas"
	@echo "make docs   the API pages and the README's pictures, from runs/demo"
	@echo "make clean  remove .venv and all caches, but no run"

demo: $(VENV)/.demo
	@$(BIN)/tellapart train clip --run runs/demo --resume

test: lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

peers: $(VENV)/.peers
	$(BIN)/python -m pytest tests/peers

bench: $(VENV)/.test
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/loss.py --short

docs: $(VENV)/.test demo
	$(BIN)/python docs/make.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/api

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tellapart needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tellapart and what the demo needs into $(VENV) (the first time only) …"
	$(INSTALL) '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tellapart and what its tests need into $(VENV) (the first time only) …"
	$(INSTALL) '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.peers: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tellapart, its tests and the libraries to compare it with into $(VENV) (the first time only) …"
	$(INSTALL) '.[test,peers]'
	@touch $@ $(VENV)/.test $(VENV)/.demo
