.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHELL := /bin/bash

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[embedded,models,links,postgresql,s3,dev]'
	@touch $(READY)

.PHONY: help
help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

.PHONY: setup
setup: $(READY) ## Create the virtual environment; the other targets do it by themselves.

.PHONY: run
run: $(READY) ## Answer a real request: the text of a picture, read aloud.
	@$(BIN)/hugginggpt ask "Read the text in this picture aloud" --file examples/sign.png

.PHONY: test
test: $(READY) ## Lint, check types, and run the tests; within 20 minutes on two cores.
	@$(MAKE) --no-print-directory lint
	@# What runs models of the Hub, or starts servers, has a process of its own; its output comes last.
	@$(BIN)/python -m pytest --durations=15 -m "experts and not soak" > .experts.log 2>&1 & experts=$$!; \
	$(BIN)/python -m pytest -q --durations=15 -m "not soak and not experts"; \
	rest=$$?; wait $$experts; experts=$$?; cat .experts.log; rm -f .experts.log; \
	test $$rest -eq 0 -a $$experts -eq 0

.PHONY: coverage
coverage: $(READY) ## Run the tests one by one, and show what of the code they run.
	$(BIN)/python -m pytest -m "not soak" --cov --cov-report=term:skip-covered

.PHONY: soak
soak: $(READY) ## Run the long proofs too.
	$(BIN)/python -m pytest

.PHONY: lint
lint: $(READY) ## Check style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: format
format: $(READY) ## Write the code in the house's style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: $(READY) ## Measure against a bare Ray Serve chain, other schedules, and models called directly.
	$(BIN)/python -m benchmarks.chain
	$(BIN)/python -m benchmarks.brain
	$(BIN)/python -m benchmarks.batching
	$(BIN)/python -m benchmarks.waking
	$(BIN)/python -m benchmarks.residency
	$(BIN)/python -m benchmarks.overload

.PHONY: wheel
wheel: $(READY) ## Build the wheel that a cluster's nodes install.
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

.PHONY: clean
clean: ## Remove what was built here.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage .experts.log
