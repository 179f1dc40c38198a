# Every task of the project, one short target each. `make` alone lists them.
# `make demo` and `make run` need Python 3.11+, make and the package registry; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(VENV)/bin/uv
MEMBERS := shared services/storyboard services/scene-render services/composer services/gateway deploy/simulator deploy/client deploy/embedded
DEV_MEMBERS := shared/testing
EDITABLE := $(addprefix -e ./,$(MEMBERS))
LOCKED := UV_PROJECT_ENVIRONMENT=$(VENV) VIRTUAL_ENV=$(VENV) $(UV) pip
NOT_OURS := $(foreach member,$(notdir $(MEMBERS)) multishot,--no-emit-package $(member))
NPM_CLIENTS := services/gateway/tests/clients
PERMISSIONS := deploy/rabbitmq/permissions.json
APP_ROUTER := services/gateway/web/app-router.d.ts


# Says what is being done before it takes its time, beside what is printed for programs.
starting = echo "$(1) ..." >&2

.DEFAULT_GOAL := help
.PHONY: help demo run verify prices report key simulator test test-unit test-all bench bench-composer lint format lock schemas asyncapi permissions docs types up down logs migrate sbom pin-images redrive doctor clean

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

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock $(addsuffix /pyproject.toml,$(DEV_MEMBERS))
	@echo "Installing the tools for tests ..."
	@$(LOCKED) install --quiet --require-hashes -r requirements-dev.lock
	@$(LOCKED) install --quiet --no-deps $(addprefix -e ./,$(DEV_MEMBERS))
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib # tests start many processes, maybe told to write no bytecode
	@touch $@

$(NPM_CLIENTS)/node_modules/.installed: $(NPM_CLIENTS)/package-lock.json
	@echo "Installing the npm clients for tests ..."
	@cd $(NPM_CLIENTS) && npm ci --silent
	@touch $@

lock: $(UV) ## Lock the dependencies anew (hashes, no addresses)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate $(NOT_OURS) -o requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS))
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements.lock --group pyproject.toml:dev -o requirements-dev.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -c requirements.lock --group pyproject.toml:bench -o deploy/bench/requirements.lock

# --- making films -----------------------------------------------------------------------

PROMPT ?=
SCENES ?= 3
DURATION ?= 30
ASPECT ?= 16:9
NICHE ?=
PORT ?= 8000
PROVIDER ?=
export PROMPT NICHE

demo: $(VENV)/.installed ## Make one film: make demo PROMPT="..." SCENES=4 DURATION=30 ASPECT=9:16 PROVIDER=runway
	@$(call starting,Starting Multishot)
	@$(BIN)/embedded demo $${PROMPT:+--prompt "$$PROMPT"} $${NICHE:+--niche "$$NICHE"} --scenes $(SCENES) --duration $(DURATION) --aspect $(ASPECT) $(if $(PROVIDER),--provider $(PROVIDER))

run: $(VENV)/.installed ## Serve on http://localhost:8000 until Ctrl-C
	@$(call starting,Starting Multishot)
	@$(BIN)/embedded run --port $(PORT) $(if $(PROVIDER),--provider $(PROVIDER))

simulator: $(VENV)/.installed ## Serve simulated Runway, Luma and fal on http://localhost:9900 until Ctrl-C
	@$(call starting,Starting the simulator)
	@$(BIN)/simulator $(ARGS)

FILM ?=
CA ?=
export FILM CA

verify: $(VENV)/.installed ## Verify the signed origin of a film, offline: make verify FILM=film.mp4 CA=authority.pem
	@$(BIN)/python -m composer.provenance.verify "$$FILM" $${CA:+--authority "$$CA"}

prices: $(VENV)/.installed ## Print the catalogue: the price of each model, and of a 30 s film at each provider
	@$(BIN)/python -m embedded.price_list

report: $(VENV)/.installed ## What films cost, how long they take and how many succeed: of MULTISHOT_URL, or of `make run`: ARGS="--days 7"
	@$(BIN)/multishot report $(ARGS)

OWNER ?=
SCOPES ?= read,write
NAME ?= made by hand
export OWNER SCOPES NAME

# Whether a setting is in the environment or in `.env`, where the services look: $(call is_set,DATABASE_URL)
is_set = [ -n "$$$(1)" ] || grep -Eqs '^[[:space:]]*(export[[:space:]]+)?$(1)[[:space:]]*=[[:space:]]*[^[:space:]]' .env

key: $(VENV)/.installed ## Make an API key: make key OWNER=publisher SCOPES=read,write NAME="its server" ARGS="--days 90"
	@$(call starting,Making the key)
	@if $(call is_set,DATABASE_URL); then key="$(BIN)/gateway key"; else key="$(BIN)/embedded key"; fi; \
		$$key --owner "$$OWNER" --scopes "$$SCOPES" --name "$$NAME" $(ARGS)

redrive: $(VENV)/.installed ## Put dead letters back (of BROKER_URL; without it, of .multishot/)
	@$(call starting,Looking for dead letters)
	@if $(call is_set,BROKER_URL); then $(BIN)/python -m shared.messaging.redrive; else $(BIN)/embedded redrive; fi

doctor: $(VENV)/.installed ## Say what does not fit together (in the containers if they run, else in .multishot/): make doctor ARGS=--fix
	@$(call starting,Examining)
	@if command -v docker >/dev/null && [ -n "$$(docker compose ps --quiet gateway 2>/dev/null)" ]; then \
		for service in gateway storyboard scene-render composer; do \
			docker compose exec -T $$service $$service doctor $(ARGS) || failed=1; \
		done; exit $${failed:-0}; \
	else $(BIN)/embedded doctor $(ARGS); fi

# --- checking ---------------------------------------------------------------------------

test: $(VENV)/.installed-dev ## Run the tests; what cannot run here is named in the last lines
	@$(call starting,Starting the servers for tests)
	@deploy/e2e/servers.sh
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NPM_CLIENTS)/node_modules/.installed; fi
	@$(BIN)/pytest --numprocesses 3 --dist loadgroup $(ARGS) # one more than cores: tests also wait

test-unit: $(VENV)/.installed-dev ## Run the tests that need no server and are quick, within a minute
	@$(BIN)/pytest --numprocesses 2 -m "not connected and not slow" shared services $(ARGS)

test-all: ## Run all tests at their full length, most of an hour
	@$(MAKE) test ARGS=--all

bench: $(VENV)/.installed-dev ## What the gateway keeps of the speed of bare FastAPI and python-socketio
	@$(call starting,Measuring)
	@$(BIN)/python deploy/bench/bench.py $(ARGS)

bench-composer: $(VENV)/.installed-dev ## How long joining a film takes, compared with encoding all of it: ARGS="--all --quality"
	@$(LOCKED) install --quiet --require-hashes -r deploy/bench/requirements.lock
	@$(call starting,Measuring)
	@$(BIN)/python deploy/bench/composing.py $(ARGS)

lint: $(VENV)/.installed-dev ## Style, types, borders between services, freshness of generated files
	@$(call starting,Checking)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Not formatted: run make format."; exit 1; }
	@$(BIN)/mypy shared/src shared/testing/src services/*/src deploy/*/src
	@report=$$($(BIN)/lint-imports) || { echo "$$report"; exit 1; }
	@$(BIN)/python -m embedded.asyncapi --check shared/asyncapi.json
	@$(BIN)/python -m embedded.documents --check .
	@$(BIN)/python -m gateway.web_types --check $(APP_ROUTER)
	@$(BIN)/python -m embedded.broker_permissions --check $(PERMISSIONS)

format: $(VENV)/.installed-dev ## Format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

asyncapi: $(VENV)/.installed ## Write shared/asyncapi.json anew
	@$(call starting,Writing shared/asyncapi.json)
	@$(BIN)/python -m embedded.asyncapi shared/asyncapi.json

permissions: $(VENV)/.installed ## Write what each user of RabbitMQ may do anew
	@$(call starting,Writing $(PERMISSIONS))
	@$(BIN)/python -m embedded.broker_permissions $(PERMISSIONS)

docs: $(VENV)/.installed ## Write the generated documents: settings, events, .env.example
	@$(call starting,Writing the settings and the events of shared/docs)
	@$(BIN)/python -m embedded.documents .

types: $(VENV)/.installed ## Write the TypeScript types of the tRPC API and the socket anew
	@$(call starting,Writing $(APP_ROUTER))
	@$(BIN)/python -m gateway.web_types $(APP_ROUTER)

schemas: $(VENV)/.installed-dev ## Accept the events' JSON schemas as they are now
	@$(call starting,Writing the schemas)
	@$(BIN)/pytest -q shared/tests/test_events.py --accept-schemas

# --- the distributed mode on this machine, in containers --------------------------------

up: ## Build and start everything in containers, and wait until it is ready
	@deploy/secrets.sh
	docker compose up --build --detach --wait gateway storyboard scene-render composer

down: ## Stop the containers (data is kept; `docker compose down -v` drops it)
	docker compose down

logs: ## Follow the logs of the containers
	docker compose logs --follow storyboard scene-render composer gateway

migrate: ## Bring the schemas in the containers up to date
	docker compose run --rm --build storyboard-schema
	docker compose run --rm --build scene-render-schema
	docker compose run --rm --build composer-schema
	docker compose run --rm --build gateway-schema

sbom: $(VENV)/.installed-dev ## Write sbom.json: what the lock file installs, as CycloneDX
	@$(BIN)/cyclonedx-py requirements --output-reproducible --output-format JSON --output-file sbom.json requirements.lock
	@echo "Wrote sbom.json."

pin-images: ## Write the digests of the images into docker-compose.yml
	@deploy/pin-images.sh

clean: ## Remove the virtual environment and the caches (videos in .multishot/ are kept)
	rm -rf $(VENV) $(NPM_CLIENTS)/node_modules $(NPM_CLIENTS)/*/node_modules .mypy_cache .ruff_cache .pytest_cache
