# Every target sets itself up: a virtual environment in this checkout, made again only when its inputs change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
EXPUNGE_HOME ?= .expunge

# Tests in two processes, a file in one of them, each with a stack of its own once it needs one.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

# Nothing here reports usage or looks for weights on a network.
export EXPUNGE_HOME
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export HF_HUB_OFFLINE := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export RAY_USAGE_STATS_ENABLED := 0
export DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help demo schedule test test-all test-images coverage mutate lint docs bench up down clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "expunge needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: export EXPUNGE_WORKERS ?= 2
demo: up  ## one policy through the whole pipeline, on the local stack
	$(BIN)/expunge submit policies/examples/demo.yaml

schedule: up  ## question again, night by night, what is published; runs until it is stopped
	$(BIN)/python -m expunge.deployments.schedule

test: $(INSTALLED)  ## the fast tests, on real servers
	$(BIN)/python -m pytest -m "not slow" $(SIDE_BY_SIDE)

test-all: $(INSTALLED)  ## every test, in random order, with faults and ten minutes of hostile files
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -p randomly

test-images: $(INSTALLED)  ## build the container image and run it, without Docker; needs root, Debian and a network
	nice -n 19 $(BIN)/python -m pytest tests/deployments/image_checks.py tests/deployments/test_compose.py -s

coverage: $(INSTALLED)  ## every test, and which lines none of them runs; fails below 95 %
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov

mutate: $(INSTALLED)  ## small mistakes in each module that decides: do its tests notice? about two hours
	$(BIN)/python -m tests.mutation

lint: $(INSTALLED)  ## style, types and the arrows between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## the documents as a site, build/site/index.html
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	PYTHONPATH=. $(BIN)/mkdocs build --config-file .ci/mkdocs.yml --strict

bench: $(INSTALLED)  ## editors compared on pictures, and timed; a few hours, goes on where it was stopped
	$(BIN)/python -m benchmarks.compare --tune --tuned --write
	$(BIN)/python -m benchmarks.speed --write

up: $(INSTALLED)  ## start the local stack: S3, MLflow, Prefect
	$(BIN)/python -m expunge.deployments.stack up

down: $(INSTALLED)  ## stop the local stack; its data stay
	$(BIN)/python -m expunge.deployments.stack down

clean:  ## remove the environment and caches; the stack's data stay in $(EXPUNGE_HOME)
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache build *.egg-info
