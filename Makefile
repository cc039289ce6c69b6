# Every target builds the one virtual environment when it is missing or out of date.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-slow test-browser looks zoo lint bench stats faults docs clean

demo: $(READY)
	$(BIN)/frostline demo spam --out studies/spam

test: lint
	$(BIN)/pytest

test-browser: $(READY)
	$(BIN)/pytest -m browser

# When pages are meant to look otherwise: renews what they are held against and writes pictures of them into looks/.
looks: $(READY)
	PYTHONPATH=tests $(BIN)/python -m report.pages looks

zoo: $(READY)
	$(BIN)/pytest tests/capture/test_zoo.py tests/plan/test_zoo.py -m 'slow or not slow'

test-slow: $(READY)
	$(BIN)/pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python benchmarks/check_start.py
	$(BIN)/python benchmarks/store.py
	$(BIN)/python benchmarks/heads.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/start_head.py --seeds 1
	$(BIN)/python benchmarks/search.py --seeds 1

# Simulations that know the truth: about six minutes, exit code 1 when an aim is missed.
stats: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/statistics_hold.py

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Planted faults: how many the checks catch, how often they cry wolf; about four minutes, exit code 1 when an aim is missed.
faults: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/planted_faults.py

# torch goes first and alone: asked for by another package it may come as a CUDA build of several gigabytes.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) studies .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
