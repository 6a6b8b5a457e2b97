# Leadwise. `make demo` is the way in; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVED := services test_whole_way.py serving/test_lean.py $(addprefix pipelines/, \
  $(addprefix features/test_, stores.py parity.py late.py history.py) quality/test_first_arrival.py \
  $(addprefix train/test_, train.py reproduce.py) $(addprefix registry/test_, ledger.py registry.py history.py) \
  $(addprefix lake/test_, catalog.py lost.py files.py asof.py identities.py expiry.py evolve.py) \
  $(addprefix privacy/test_, forget.py expire.py growing.py) $(addprefix deliver/test_, score.py table.py))
# A file of tests stays with one worker, which makes what its tests share; four fit into the memory of a laptop.
WORKERS := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo up services test test-services soak check bench bench-models bench-serving docs clean lock

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP) ## .venv from requirements.lock

# uv lives inside the environment it fills, so that nothing else on the machine changes.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: name a newer one, as in make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || { \
	  awk '/^[a-z]/ {p = /^uv==/} p' requirements.lock > $(VENV)/uv.txt && \
	  $(BIN)/python -m pip install --quiet --require-hashes --requirement $(VENV)/uv.txt; }
	$(BIN)/python -m uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## a simulated market, from raw leads to a scored audience, through Airflow
	$(BIN)/leadwise simulate --tenant demo
	$(BIN)/leadwise run --tenant demo

up: setup ## a living Airflow and MLflow's UI, until Ctrl-C; the simulated market goes on day by day
	$(BIN)/leadwise up

services: setup ## PostgreSQL, Redis and S3 on loopback, until Ctrl-C; used with LEADWISE_PROFILE=services
	$(BIN)/leadwise services

test: setup ## all tests
	$(BIN)/python -m pytest $(WORKERS) $(OPTIONS)

test-services: setup ## tests of lake, features, models and delivery again, with LEADWISE_PROFILE=services
	$(BIN)/python -m pytest $(WORKERS) --services -m "not local" $(addprefix tests/,$(SERVED)) $(OPTIONS)

soak: setup ## every step killed 200 times, 300 drawn histories against the oracle; some hours
	$(BIN)/python -m pytest -vv -m "soak or not soak" tests/failure tests/oracle

check: setup ## ruff, mypy --strict, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## figures side by side with the usual way, into var/bench/
	$(BIN)/python -m tests.benchmarks $(BENCH)

bench-models: setup ## lead scores on real data beside what one would otherwise use; TASK=drift runs one
	$(BIN)/python -m tests.benchmarks.models $(TASK)

bench-serving: setup ## the endpoint beside `mlflow models serve`, both servers in one run
	$(BIN)/python -m tests.benchmarks serving

docs: setup ## docs/reference.md, from the code
	$(BIN)/leadwise reference

clean: ## remove var/ and what DVC left
	rm -rf var .dvc/tmp

lock: ## resolve requirements.in anew
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --override overrides.txt requirements.in --output-file requirements.lock
