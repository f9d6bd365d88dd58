# `make lab` and `make test` need Debian 12 or newer or Ubuntu 24.04, git, make, Python 3.11+, and root or sudo.

PYTHON ?= python3
LAB ?= wherry
WORKERS ?= 2
TESTS ?= tests
SEEDS ?= 1000
SEED ?= 0
SCENARIO ?=
CONFORMANCE ?= build/conformance
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := .venv/bin

.PHONY: lab lab-down test simulate test-vagrant test-conformance lint format docs clean

lab: .venv/runs ## three hosts on this machine, a cluster on them, and a demo that answers
	@$(SUDO) $(BIN)/wherry lab up --name $(LAB) --workers $(WORKERS)

lab-down: .venv/runs ## leaves no process, mount, namespace, link or file
	@$(SUDO) $(BIN)/wherry lab down --name $(LAB)

test: .venv/develops ## all tests that run without real virtual machines
	@$(SUDO) sh tests/packages.sh
	@$(SUDO) $(BIN)/python -m pytest -m "not vagrant" $(TESTS)

simulate: .venv/develops ## the control plane under virtual time and faults: SEEDS of all scenarios, or of SCENARIO
	@cd tests && ../$(BIN)/python -m simulation $(SCENARIO) --seeds $(SEEDS) --seed $(SEED)

test-vagrant: .venv/develops ## the lab on real virtual machines, up, halted, made anew, destroyed: half an hour
	@$(SUDO) sh tests/vagrant/packages.sh
	@$(SUDO) $(BIN)/python -m pytest -x -m vagrant tests/vagrant

test-conformance: .venv/runs ## Kubernetes' own conformance tests on a lab, built from Debian 12's source package
	@$(SUDO) sh tests/conformance/packages.sh
	@$(SUDO) sh tests/conformance/build.sh $(CONFORMANCE)
	@$(SUDO) sh tests/conformance/images.sh $(CONFORMANCE)
	@$(SUDO) sh tests/conformance/run.sh $(CONFORMANCE)

lint: .venv/develops ## style, types, and who may import whom
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/develops
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

docs: .venv/develops ## the pages that are made from the code
	@$(BIN)/python docs/make_api_compatibility.py

clean:
	rm -rf .venv build dist *.egg-info

# Debian and Ubuntu ship Python without the part that makes virtual environments.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "installing python3-venv"; export DEBIAN_FRONTEND=noninteractive; \
		$(SUDO) apt-get install -qq --yes --no-install-recommends python3-venv >/dev/null 2>&1 || { \
			$(SUDO) apt-get update -qq && \
			$(SUDO) apt-get install -qq --yes --no-install-recommends python3-venv >/dev/null; }; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@touch $@

.venv/runs: .venv/made requirements.lock pyproject.toml
	@echo "installing Wherry into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv/develops: .venv/runs requirements-dev.lock
	@echo "installing what the tests need into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@
