# `make` prints this help. Everything a fresh machine needs besides Python, git and make is set up by the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two workers fill two cores. Those of tier 3 wait more than they compute, so there are four; each has a control plane
# of its own, the tests of a file stay together, and files are taken in the order of tests/controlplane/conftest.py.
WORKERS ?= 2
# In `make test` mypy runs beside tier 1, and tier 2, which knows no clock but its own, takes what tier 3 leaves idle.
TOGETHER := --no-print-directory --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
# Where it is set (images of Python set it) each of our processes would compile whatever it imports again: six seconds of
# every pytest worker's nine.
unexport PYTHONDONTWRITEBYTECODE
SEEDS ?= 2000
PROGRAMS := prometheus registry cosign argo-rollouts source-controller kustomize-controller
# Its database is written in C; without a compiler its tests are skipped, and say so.
GITEA := $(if $(shell command -v cc),--with gitea)

.PHONY: help setup programs lint fmt unit coverage policies schedules simulate controlplane test bench demo crds verify \
	clean

help: ## print this help
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Not compiled by pip: of the client's thousands of modules a few are ever imported, and those are compiled then.
$(STAMP): pyproject.toml constraints.txt controller/patchwright/__init__.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	touch $(STAMP)

setup: $(STAMP) ## create the virtual environment

programs: setup ## build etcd, Kubernetes, OPA, kwok and what the tests need: once, minutes the first time
	$(BIN)/patchwright sandbox build $(PROGRAMS:%=--with %) $(GITEA) >/dev/null

lint: setup ## ruff, mypy --strict and the layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup ## format and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

unit: programs ## tier 1: unit, property and golden tests; seconds, no cluster
	$(BIN)/pytest tests/unit tests/property tests/golden -n $(WORKERS)

# A branch that only dice find is not tested; tracing them takes twice their time.
coverage: programs ## tier 1 again, demanding every branch of the domain
	$(BIN)/pytest tests/unit tests/golden -n $(WORKERS) --cov --cov-report=term
	$(BIN)/pytest tests/property -n $(WORKERS)

policies: programs ## the Rego library: formatted, strict, typed, tested to the last line
	$(BIN)/pytest tests/unit/test_policies_library.py

schedules: setup ## tier 2: a crash at every write, and some random schedules
	nice -n 10 $(BIN)/pytest tests/simulation -n $(WORKERS)

simulate: setup ## tier 2 in full: every write in every way, many random schedules (SEEDS=2000)
	$(BIN)/pytest tests/simulation -n $(WORKERS) --seeds $(SEEDS) --exhaustive

controlplane: programs ## tier 3: the real control plane
	$(BIN)/pytest tests/controlplane -rs -n 4 --dist loadfile --no-loadscope-reorder

crds: setup ## write crds/ from the models
	$(BIN)/patchwright crds --output crds

verify: setup ## generated files are as generated
	$(BIN)/patchwright crds --output crds
	git diff --exit-code -- crds

test: programs ## everything: lint, generated files, tiers 1 to 3
	@echo "Lint and tier 1, side by side: each is shown when it is done."
	$(MAKE) $(TOGETHER) lint verify coverage
	@echo "Tiers 2 and 3, side by side: each is shown when it is done, after many minutes."
	$(MAKE) $(TOGETHER) controlplane schedules

bench: programs ## the benchmarks, as tables and as JSON (ARGS="--quick rollout-200")
	PYTHONPATH=tests $(BIN)/python -m bench run $(ARGS)

demo: setup ## watch a commit patch a fleet (KEEP=1 leaves it up)
	$(BIN)/patchwright demo $(if $(KEEP),--keep)

clean: ## remove the virtual environment and caches of this checkout
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
