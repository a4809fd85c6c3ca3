# The commands of this repository; `make` alone lists them.
# Another interpreter or environment: make test PYTHON=python3.12 VENV=/tmp/venv

PYTHON ?= python3
VENV ?= .venv
BIN = $(abspath $(VENV))/bin
DIGITS = examples/digits
# Most tests wait for processes. Those of one file share what they have made, so they stay together.
TESTS = $(BIN)/python -m pytest --numprocesses 4 --dist loadfile
PIP = $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: help setup example test slow check docs bench clean

help:
	@grep --only-matching '^[a-z]*:.*##.*' Makefile | sed 's/:.*##/	/'

setup: $(VENV)/developer	## make .venv with everything that working on preflight needs

example: $(VENV)/user	## check examples/digits, a small real project
	cd $(DIGITS) && $(BIN)/python prepare.py
	cd $(DIGITS) && $(BIN)/preflight run --config config.yaml

test: setup	## run the tests
	$(TESTS) -m 'not slow'

slow: setup	## run the tests that take longest for what they tell
	$(TESTS) -m slow

check: setup	## format, lint, types, tests: what a change must pass
	$(BIN)/ruff format
	$(BIN)/ruff check
	$(BIN)/mypy
	$(TESTS)

docs: setup	## write the pages that are made from the source
	$(BIN)/python docs/make.py

bench: setup	## measure what the gate costs
	$(BIN)/python -m benchmarks

clean:	## remove the environment
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# torch first and by itself: the largest part, and the one whose build is worth choosing.
$(VENV)/user: pyproject.toml $(DIGITS)/requirements.txt | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --quiet --requirement $(DIGITS)/requirements.txt --editable .
	@touch $@

# uv takes a tenth of pip's time. It does not read pip's settings, so pip is asked where it finds no index.
$(VENV)/developer: $(VENV)/user
	$(PIP) --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --editable '.[dev]' || \
		$(PIP) --quiet --editable '.[dev]'
	@touch $@
