# Everything from a bare checkout: each target makes what it needs in .venv and does that once (stamp files).
#
#   make demo       real weights -> quantized model -> the daemon on a street clip, on the simulator
#   make test       all tests of C and Python, one-line changes that they must notice, and the linters
#   make mutations  those changes alone
#   make lint       ruff, mypy and clang-format alone
#   make bench      the simulator and the Python around it beside their peers; writes docs/performance.md; about 15 minutes
#   make boot-test  the agent in a Debian of its own, booted with systemd and broken in every way; as root, minutes.
#                   VM=1: then the power of a virtual machine is cut, too. PACKAGES='debian12 debian11': the .debs there, instead
#   make packages   .debs for each release and processor, wheels, source distributions, bills of materials, digests: dist/packages.
#                   RELEASES='debian12 ubuntu22.04' PROCESSORS=amd64: only these. LEVEL=1: a fifth larger, in a fifth of the time
#   make clean      removes what the above made, but not the downloads in .cache
#
# Variables: BENCH (options for the benchmark, such as BENCH='--models yolov5n --rounds 5'), PYTHON (the interpreter the environment is made from), WEIGHTS and CLIP (files for the demo, instead of
# the download), TORCH (what pip installs for the tests of mlu-export; empty: none, and those tests are skipped).

PYTHON ?= python3
TORCH ?= torch==2.13.0
WEIGHTS ?=
CLIP ?=
BENCH ?=
RELEASES ?=
PROCESSORS ?=
LEVEL ?=
PACKAGES ?=

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
PEERS := .venv-bench
NATIVE_SOURCES := $(shell find native -type f \( -name '*.[chS]' -o -name '*.inc' -o -name '*.def' -o -name '*.map' -o -name '*.in' -o -name 'CMakeLists.txt' -o -name '*.cmake' -o -name '*.toml' \) 2>/dev/null)
SERVICE_SOURCES := $(wildcard systemd/mlu-agent.*)

# Whatever environment is active is not ours, and nothing here may wait for an answer.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV MAKEFLAGS MAKELEVEL
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PYTHONNOUSERSITE := 1
export PATH := $(BIN):$(PATH)
PIP := $(BIN)/python -m pip install -qq

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo test mutations lint bench boot-test packages clean

help:
	@sed -n '3,15s/^# \{0,1\}//p' Makefile

$(VENV)/.made:
	@echo "make: new Python environment in $(VENV)"
	@rm -rf $(VENV)
	@$(PYTHON) -c 'import sys; sys.exit("make: Python 3.9 or newer is needed, this is " + sys.version.split()[0] + "; give another one: make PYTHON=python3.11 ...") if sys.version_info < (3, 9) else 0' </dev/null
	@$(PYTHON) -m venv $(VENV) </dev/null || { echo "make: '$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@touch $@

# What builds the packages is installed first, so that a rebuild after an edit in native/ needs no network.
$(VENV)/.build-tools: $(VENV)/.made
	@command -v cc >/dev/null || { echo "make: no C compiler (cc) found; on Debian and Ubuntu: apt-get install gcc libc6-dev"; exit 1; }
	@$(PIP) 'scikit-build-core>=0.11' 'hatchling>=1.18' editables 'cmake>=3.18' 'ninja>=1.10' </dev/null
	@touch $@

$(VENV)/.client: $(VENV)/.build-tools agent/client/pyproject.toml
	@echo "make: installing mlu-client"
	@$(PIP) --no-build-isolation --editable agent/client </dev/null
	@touch $@

$(VENV)/.agent: $(VENV)/.client pyproject.toml $(NATIVE_SOURCES) $(SERVICE_SOURCES)
	@echo "make: installing mlu-agent (builds the simulator library)"
	@$(PIP) --no-build-isolation --editable . </dev/null
	@touch $@

$(VENV)/.deploy: $(VENV)/.agent deploy/pyproject.toml
	@echo "make: installing mlu-export"
	@$(PIP) --no-build-isolation --editable deploy </dev/null
	@touch $@

$(VENV)/.lint: $(VENV)/.deploy
	@echo "make: installing ruff and mypy"
	@$(PIP) --no-build-isolation --editable '.[lint]' </dev/null
	@touch $@

$(VENV)/.test: $(VENV)/.lint tests/system-packages.sh tests/needs.py
	@echo "make: installing what the tests need"
	@$(PIP) --no-build-isolation --editable '.[test]' </dev/null
	@test -z "$(TORCH)" || $(PIP) '$(TORCH)' </dev/null || { echo "make: $(TORCH) could not be installed; 'make test TORCH=' runs without it and skips the tests that need it"; exit 1; }
	@sh tests/system-packages.sh </dev/null
	@touch $@

install: $(VENV)/.deploy

demo: $(VENV)/.deploy
	@$(BIN)/python demo/run.py --weights '$(WEIGHTS)' --clip '$(CLIP)' </dev/null

test: $(VENV)/.test
	@$(BIN)/python tests/run.py </dev/null

mutations: $(VENV)/.test
	@$(BIN)/python tests/run.py mutations </dev/null

lint: $(VENV)/.lint
	@$(BIN)/python tests/run.py lint </dev/null

# Our packages are taken from the checkout, the library from where it was built for $(VENV).
$(PEERS)/.made: $(VENV)/.deploy benchmarks/requirements.txt
	@echo "make: installing the peers in $(PEERS)"
	@rm -rf $(PEERS)
	@$(PYTHON) -m venv $(PEERS) </dev/null
	@$(PEERS)/bin/python -m pip install -qq '$(TORCH)' </dev/null
	@$(PEERS)/bin/python -m pip install -qq --no-deps -r benchmarks/requirements.txt </dev/null
	@printf '%s\n' '$(CURDIR)/agent' '$(CURDIR)/agent/client' '$(CURDIR)/deploy' >"$$($(PEERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/mlu-agent.pth"
	@touch $@

bench: $(PEERS)/.made
	@MLU_AGENT_SIMULATOR="$$($(BIN)/mlu-agent simulator --libdir)/libcnrt.so" $(PEERS)/bin/python benchmarks/run.py $(BENCH) </dev/null

boot-test: $(if $(PACKAGES),$(VENV)/.packages,$(VENV)/.deploy)
	@$(BIN)/python tests/boot/run.py $(if $(VM),--vm) $(if $(PACKAGES),--packages $(PACKAGES)) </dev/null

$(VENV)/.packages: $(VENV)/.deploy systemd/packages/requirements.txt
	@echo "make: installing what builds packages"
	@$(PIP) -r systemd/packages/requirements.txt </dev/null
	@touch $@

packages: $(VENV)/.packages
	@$(BIN)/python systemd/packages/build.py $(if $(RELEASES),--releases $(RELEASES)) $(if $(PROCESSORS),--processors $(PROCESSORS)) $(if $(LEVEL),--level $(LEVEL)) </dev/null

clean:
	rm -rf $(VENV) $(PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
