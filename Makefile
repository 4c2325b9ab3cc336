# All set-up happens in .venv; nothing outside of it is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# SBX (JAX), which is only measured, shares no environment with the rest.
BENCH := .venv-bench

.PHONY: train test robustness lint types package bench clean

## Train SAC on CartPoleContinuous-v1, score the best policy and film it.
train: $(VENV)/installed
	$(BIN)/workspace-rl train sac/cartpole_continuous

## Run all tests.
test: $(VENV)/installed-dev
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal --durations 10

## Try 10,000 random programs and configurations, 1,000 damaged folders of each kind, new ones every time, kill 24 runs,
## and compare runs with what is recorded of them, compiled ones, too (half an hour).
robustness: $(VENV)/installed-dev
	$(BIN)/pytest tests/robustness tests/kept --hypothesis-profile=full

## Check format and style, and that imports run one way (docs/architecture.md).
lint: package
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	cd build/package && ../../$(BIN)/lint-imports --no-logo ../../pyproject.toml

## Check types.
types: package
	cd build/package && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p workspace_rl

# The package as it is installed, for tools that cannot see how the folders are mapped.
package: $(VENV)/installed-dev
	rm -rf build
	$(PIP) --no-deps --target build/package .

## Measure speed and memory side by side with other libraries, then what many collectors bring and cost, into
## benchmarks/results (about half an hour).
bench: $(VENV)/installed-dev $(BENCH)/installed
	$(BIN)/python benchmarks/speed.py --sbx-python $(BENCH)/bin/python
	$(BIN)/python benchmarks/scaling.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and alone: it is the largest, and its pinned version decides what the others may ask for.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps bbrl bbrl-utils easypip
	-$(BIN)/python tests/compat/sdist.py
	touch $@ $(VENV)/installed

$(BENCH)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH)
	echo '*' > $(BENCH)/.gitignore
	$(subst $(BIN),$(BENCH)/bin,$(PIP)) torch
	$(subst $(BIN),$(BENCH)/bin,$(PIP)) --editable ".[bench]"
	touch $@

clean:
	rm -rf $(VENV) $(BENCH) build
