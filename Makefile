# A fresh clone needs Python 3.11 or newer, make and a package index: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip --quiet
PYTEST := TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m pytest

.PHONY: demo test test-all check docs bench faults protocol clean

demo: $(VENV)/installed
	$(BIN)/tuimon run sample_configs/finetune_one_sample.toml

test: $(VENV)/installed-dev
	$(PYTEST) -q -n 2 --dist loadfile -m "not full"

test-all: $(VENV)/installed-dev
	$(PYTEST) -q -n 2 --dist loadfile

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zensical build --strict

# docs/ as pages: build/site/index.html.
docs: $(VENV)/installed-dev
	$(BIN)/zensical build --strict

bench: $(VENV)/installed-dev
	@$(PIP) install --group bench
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python benchmarks/run.py

# Some need root and say so where they are skipped: disks, namespaces.
faults: $(VENV)/installed-dev
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m faults.run

protocol: $(VENV)/installed
	$(BIN)/python docs/make_protocol.py
	$(BIN)/python docs/make_rules.py
	$(BIN)/python docs/make_keys.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made again when pyproject.toml is newer; what is half installed has no mark.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tuimon needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@echo "installing tuimon, Keras and TensorFlow into $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --editable '.[tensorflow]'
	@touch $@

# Dependency groups need pip 25.1; a fresh venv may have an older one.
$(VENV)/installed-dev: $(VENV)/installed
	@echo "installing the tools for tests into $(VENV) …"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --group dev
	@touch $@
