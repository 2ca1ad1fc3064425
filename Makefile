# The same commands for people and for CI. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
NEST_MPI ?= .nest-mpi
TORCH ?= .torch
LEROBOT ?= .lerobot
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PROJECT_INSTALL := $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
NRP_INSTALL := $(PIP_INSTALL) --no-deps --no-build-isolation --editable packages/troupe-nrp
# where Python may write no bytecode, each process would compile all that it imports, a second or two
COMPILE_IMPORTS := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib src packages || true
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/uv pip compile --quiet --no-config \
	--universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all check-torch check-nest-mpi check-lerobot check-s3 format check bench docs build requirements requirements-torch clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.dev $(VENV)/.system ## make .venv with everything for development

demo: $(VENV)/.main ## train a SCARA arm to reach; print its error and where the report is
	$(BIN)/troupe train scara-reach --out runs/demo --force

test: $(VENV)/.dev $(VENV)/.system ## run the tests, without the slow ones
	$(BIN)/pytest

test-slow: $(VENV)/.dev $(VENV)/.system ## run the slow tests
	$(BIN)/pytest -m slow

test-all: $(VENV)/.dev $(VENV)/.system ## run all tests and show what they do not cover
	$(BIN)/pytest -m "" --cov --cov-report=term-missing

check-torch: $(TORCH)/.installed ## test what is for PyTorch, in an environment that has it
	$(TORCH)/bin/python -m pytest tests/*/check_torch*.py tests/*/*/check_torch*.py

check-nest-mpi: $(VENV)/.dev $(NEST_MPI)/.built ## build NEST with MPI, once, and test servers of several processes
	PATH="$(abspath $(NEST_MPI))/bin:$$PATH" OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
		$(BIN)/pytest --numprocesses=0 tests/mpi/check_nest_server.py

check-lerobot: $(VENV)/.dev $(LEROBOT)/.installed ## install LeRobot, 7 GB, once, and test data sets to and from it
	LEROBOT=$(LEROBOT) $(BIN)/pytest --numprocesses=0 --timeout=600 tests/lerobot/check_lerobot.py

check-s3: $(VENV)/.dev ## test shared storage on a real server that speaks S3, OpenStack Swift
	@command -v swift-proxy-server >/dev/null || \
		{ echo "needs: apt-get install swift swift-proxy swift-account swift-container swift-object" >&2; exit 1; }
	$(BIN)/python -m tests.s3.swift $(BIN)/pytest --numprocesses=0 -m "" -k s3 tests/episodes/store tests/fleet/test_storage.py
	$(BIN)/python -m tests.s3.swift $(BIN)/python -m benchmarks store_kills --only s3://troupe --out runs/check-s3

format: $(VENV)/.dev ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

check: $(VENV)/.dev ## check format, lint, types, imports between packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## measure, beside the peers, what docs/benchmarks.md states
	$(BIN)/python -m benchmarks

docs: $(VENV)/.dev ## build the documentation into site/
	$(BIN)/mkdocs build --strict

build: $(VENV)/.dev ## build wheels and source distributions into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m build --no-isolation --outdir dist packages/troupe-nrp

requirements: $(VENV)/.dev ## pin requirements/*.txt anew from pyproject.toml
	$(COMPILE) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --constraint requirements/dev.txt --output-file requirements/main.txt
	$(COMPILE) --group build --constraint requirements/dev.txt --output-file requirements/build.txt

requirements-torch: $(VENV)/.dev ## pin requirements/torch.txt anew; UV_FIND_LINKS says where the wheel is
	UV_CUSTOM_COMPILE_COMMAND="make requirements-torch" $(BIN)/uv pip compile --quiet --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links \
		requirements/torch.in --constraint requirements/dev.txt --output-file requirements/torch.txt

clean: ## remove what the other commands made, except .venv/ and runs/
	rm -rf site dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find src tests packages -type d -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "Troupe needs Python 3.11 or newer; '$(PYTHON)' is not there. Try make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Troupe needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Try make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.main: requirements/build.txt requirements/main.txt pyproject.toml | $(BIN)/python
	@echo "Installing Troupe into $(VENV) (once; about a minute) ..."
	$(PIP_INSTALL) --no-deps --require-hashes --requirement requirements/build.txt --requirement requirements/main.txt
	$(PROJECT_INSTALL)
	@$(COMPILE_IMPORTS)
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml packages/troupe-nrp/pyproject.toml | $(BIN)/python
	@echo "Installing Troupe and its tools into $(VENV) (once; about a minute) ..."
	$(PIP_INSTALL) --no-deps --require-hashes --requirement requirements/dev.txt
	$(PROJECT_INSTALL)
	$(NRP_INSTALL)
	@$(COMPILE_IMPORTS)
	@touch $(VENV)/.main $@

# PyTorch beside what $(VENV) has: Troupe itself is installed, for its command
$(TORCH)/.installed: requirements/torch.txt $(VENV)/.dev
	@echo "Installing PyTorch into $(TORCH) (once; half a minute) ..."
	$(BIN)/python -m venv --clear $(TORCH)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(TORCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth"
	$(TORCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--requirement requirements/torch.txt
	$(TORCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# no wheel of NEST has MPI, and one in the cache of pip need not; the version is that of
# requirements/dev.txt
$(NEST_MPI)/.built: | $(BIN)/python
	@command -v mpicxx >/dev/null && command -v mpirun >/dev/null && command -v cmake >/dev/null || \
		{ echo "NEST with MPI needs: apt-get install g++ cmake openmpi-bin libopenmpi-dev libgsl-dev libltdl-dev" >&2; exit 1; }
	$(BIN)/python -m venv $(NEST_MPI)
	@echo "Building NEST with MPI in $(NEST_MPI) (once; about a quarter of an hour) ..."
	CMAKE_BUILD_PARALLEL_LEVEL=2 $(NEST_MPI)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-cache-dir --no-binary nest-simulator --config-settings=cmake.define.with-mpi=ON mpi4py docopt \
		"nest-simulator[server]$$(sed -n 's/^nest-simulator\(==[0-9.]*\).*/\1/p' requirements/dev.txt)"
	@touch $@

# apart, since LeRobot bounds PyTorch and many others from above
$(LEROBOT)/.installed: benchmarks/peers/lerobot/requirements.txt | $(BIN)/python
	$(PYTHON) -m venv --clear $(LEROBOT)
	@echo "Installing LeRobot into $(LEROBOT) (once; several minutes, 7 GB) ..."
	$(LEROBOT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--requirement $<
	@touch $@

# programs that tests start; where they cannot be installed from here, the tests name them
$(VENV)/.system: | $(BIN)/python
	@export PATH="$$PATH:/usr/sbin:/sbin"; command -v mosquitto >/dev/null && command -v ip >/dev/null || \
		{ apt-get update -qq && apt-get install --yes -qq --no-install-recommends mosquitto iproute2; } || \
		echo "missing, and cannot be installed from here: apt-get install mosquitto iproute2" >&2
	@touch $@
