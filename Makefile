# make demo, make test: each installs what it needs into .venv on its first run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

# The tests of the loss, and what runs them as a processor without its newest instructions would.
LOSS_TESTS := $(addprefix tests/,diagnostics negatives _engine relations theory variants test_gradient_cache.py \
	test_nt_xent.py test_objective.py test_objective_mistakes.py test_objective_precision.py test_peer_failures.py \
	test_scores.py test_temperature.py)
# What compiles for GPUs is the same whatever the processor.
PORTABLE = HYPOTHESIS_PROFILE=few $(BIN)/python -m pytest --quiet --numprocesses auto --dist loadgroup $(LOSS_TESTS) \
	--ignore tests/_engine/kernels/test_triton_choice.py

# Some environments forbid it: then each of the hundred processes of the tests compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-portable lint peers bench site figures dist clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   train CLIP on OpenMoji and write runs/demo/report.html"
	@echo "make test   lint, types and all tests"
	@echo "make test-portable   the tests of the loss with older processors' instructions"
	@echo "make lint   lint and types only"
	@echo "make peers  compare tellapart.compat with the libraries it stands in for"
	@echo "make bench  what importing costs beyond torch, and the loss against the plain formulas"
	@echo "make site   the documentation with search, in site/index.html; links are checked"
	@echo "make figures   the figures of the documentation, and the picture of runs/demo's report"
	@echo "make dist   what is published, in dist/, checked as PyPI does; HOME_URL=https://… says where the repository is"
	@echo "make clean  remove .venv and all caches, but no run"

demo: $(VENV)/.demo
	@$(BIN)/tellapart train clip --run runs/demo --resume

# mypy needs one core and tests wait at times: side by side they end sooner. What it says follows what pytest says.
test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@said=$$(mktemp); $(BIN)/mypy >$$said 2>&1 & types=$$!; \
		echo "$(BIN)/python -m pytest --numprocesses auto --dist loadgroup, beside $(BIN)/mypy"; \
		$(BIN)/python -m pytest --numprocesses auto --dist loadgroup; tests=$$?; \
		wait $$types; types=$$?; cat $$said; rm -f $$said; exit $$((tests > types ? tests : types))

# torch's kernels, MKL's and oneDNN's each choose by the processor; each is told what to leave out.
test-portable: $(VENV)/.test
	ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1 $(PORTABLE)
	@if $(BIN)/python -c 'import torch; print(torch.backends.cpu.get_cpu_capability())' | grep -q AVX512; then set -x; \
		ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 $(PORTABLE); fi

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

peers: $(VENV)/.peers
	$(BIN)/python -m pytest tests/peers

bench: $(VENV)/.test
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/loss.py --short

site: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html"

figures: $(VENV)/.test demo
	$(BIN)/python docs/figures.py

# Of a copy, in which the address of the repository is written if it is given.
dist: $(VENV)/.dist
	rm -rf build dist
	@mkdir build && git ls-files -z | xargs -0 cp --parents --target-directory build
	@if [ -n "$(HOME_URL)" ]; then $(BIN)/python docs/at_home.py build "$(HOME_URL)"; else \
		echo "Without HOME_URL=https://… the project has no urls, and the README's links are relative."; fi
	$(BIN)/uv build --quiet build --out-dir dist
	$(BIN)/twine check --strict dist/*
	@rm -rf build

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site

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

$(VENV)/.dist: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) '.[publish]'
	@touch $@

$(VENV)/.peers: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tellapart, its tests and the libraries to compare it with into $(VENV) (the first time only) …"
	$(INSTALL) '.[test,peers]'
	@touch $@ $(VENV)/.test $(VENV)/.demo
