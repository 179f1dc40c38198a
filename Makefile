# Every task of the project, one short target each. `make` alone lists them.
# `make demo` and `make run` need Python 3.11+, make and the package registry; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bin/uv
MEMBERS := shared services/storyboard services/scene-render services/composer services/gateway deploy/embedded
EDITABLE := $(addprefix -e ./,$(MEMBERS))
LOCKED := UV_PROJECT_ENVIRONMENT=$(VENV) VIRTUAL_ENV=$(VENV) $(UV) pip
NOT_OURS := $(foreach member,$(notdir $(MEMBERS)),--no-emit-package $(member))

export PYTHONDONTWRITEBYTECODE = 1

.DEFAULT_GOAL := help
.PHONY: help demo run test lint types borders format lock asyncapi up down logs migrate redrive servers clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

# --- setting up -------------------------------------------------------------------------

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Multishot needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (on Debian and Ubuntu: apt install python3-venv)."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.installed: $(UV) requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	@echo "Setting up (once) ..."
	@$(LOCKED) install --quiet --require-hashes -r requirements.lock
	@$(LOCKED) install --quiet --no-deps $(EDITABLE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@$(LOCKED) install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

lock: $(UV) ## Lock the dependencies anew (hashes, no addresses)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate $(NOT_OURS) -o requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements.lock --group pyproject.toml:dev -o requirements-dev.lock

# --- making films -----------------------------------------------------------------------

PROMPT ?=
SCENES ?= 3
DURATION ?= 30
ASPECT ?= 16:9
NICHE ?=
PORT ?= 8000
export PROMPT NICHE

demo: $(VENV)/.installed ## Make one film: make demo PROMPT="..." SCENES=4 DURATION=30 ASPECT=9:16
	@$(BIN)/embedded demo $${PROMPT:+--prompt "$$PROMPT"} $${NICHE:+--niche "$$NICHE"} --scenes $(SCENES) --duration $(DURATION) --aspect $(ASPECT)

run: $(VENV)/.installed ## Serve on http://localhost:8000 until Ctrl-C
	@$(BIN)/embedded run --port $(PORT)
