# `make run` and `make test` do all set-up themselves; they need Python 3.11 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CODE := gateway/wsgw gateway/sbom.py tests scripts bench
# They measure what others would disturb: memory, latencies, seconds of a token, all that the machine can do.
ALONE := tests/chaos tests/hostile tests/compose tests/browser tests/bench \
  $(addprefix tests/integration/test_,$(addsuffix .py,authorisation frozen_nats herd lives))

.PHONY: help run test bench fuzz frames frozen hostile chaos herd proxied reload mutants audit sbom lint docs format clean up down

help: ## Say what can be made.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

run: $(VENV)/.installed ## Run a NATS server and the gateway here, until Ctrl-C. PORT=, NATS_PORT=, NATS_SERVERS= choose others.
	@$(BIN)/python scripts/run.py

test: $(VENV)/.installed ## Run all tests, JOBS= at a time where they do not mind. ARGS= goes to pytest, which runs those only.
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@$(BIN)/python -m pytest -n $(or $(JOBS),3) --dist loadfile $(addprefix --ignore=,$(ALONE)); together=$$?; \
	  $(BIN)/python -m pytest $(ALONE) && exit $$together
endif

bench: $(VENV)/.installed ## Compare with NATS' own WebSocket and others. QUICK=1, ROWS=, SYSTEMS=, ROUNDS=, OUT=, CENTRIFUGO= a binary, BEFORE= another commit's wsgw.
	@$(BIN)/python -m bench.run

fuzz: $(VENV)/.installed ## Mutated inputs for all that takes what others send, coverage-guided where PyPI's atheris installs. CASES=, TARGETS= patterns, SECONDS= each, JOBS=, SEED=, OUT=.
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check atheris || echo "no atheris: by our own mutations"
	@PYTHONPATH=tests CASES=$(CASES) TARGETS='$(TARGETS)' SECONDS=$(SECONDS) JOBS=$(JOBS) SEED=$(SEED) OUT=$(OUT) $(BIN)/python -m fuzz.run

frames: $(VENV)/.installed ## The long run of the frame splitter against the library. STREAMS= byte streams.
	WSGW_FUZZ_STREAMS=$(or $(STREAMS),1000000) $(BIN)/python -m pytest --timeout 7200 tests/unit/protocols/websocket/test_clientframes.py

frozen: $(VENV)/.installed ## The long form of a NATS that stands still under full load. FOR= seconds.
	WSGW_FROZEN_SECONDS=$(or $(FOR),30) $(BIN)/python -m pytest -s --timeout 600 tests/integration/test_frozen_nats.py

hostile: $(VENV)/.installed ## The long form of the hostile clients. FIGURES=1 prints a table instead: WSGW= another commit's wsgw, ROWS= some.
ifdef FIGURES
	@PYTHONPATH=tests WSGW_HOSTILE=long $(BIN)/python -m hostile.figures
else
	WSGW_HOSTILE=long $(BIN)/python -m pytest -s $(or $(ARGS),tests/hostile)
endif

chaos: $(VENV)/.installed ## The long form of faults under traffic, with a ledger of durable channels. RUNS= of each fault, SEED=, ARGS= to pytest.
	CHAOS_RUNS=$(or $(RUNS),20) CHAOS_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/chaos $(ARGS)

herd: $(VENV)/.installed ## The long form of many clients that come back to a durable channel at once. CLIENTS= how many.
	WSGW_HERD=$(or $(CLIENTS),10000) $(BIN)/python -m pytest -s --timeout 600 tests/integration/test_herd.py

proxied: $(VENV)/.installed ## The long form of many clients by one HAProxy. CLIENTS= how many.
	WSGW_PROXIED=$(or $(CLIENTS),5000) $(BIN)/python -m pytest -s --timeout 600 tests/proxies/test_crowd.py

reload: $(VENV)/.installed ## The long form of configurations that are read again under load. CLIENTS= how many.
	WSGW_RELOAD_CLIENTS=$(or $(CLIENTS),1000) $(BIN)/python -m pytest --timeout 600 tests/integration/test_reload.py

mutants: $(VENV)/.installed ## Break the core one place at a time: which breaks does no test notice? SEED=, MODULES= patterns, N= a module (0: all), JOBS=, BELOW= percent.
	@$(BIN)/python scripts/mutants.py

audit: $(VENV)/.installed ## Ask for known vulnerabilities of what the gateway needs, where pip-audit's service can be reached.
	@$(BIN)/python scripts/audit.py

sbom: $(VENV)/.installed ## Write the Python packages that the gateway needs, in CycloneDX's form, to OUT= (sbom.cdx.json).
	@$(BIN)/python gateway/sbom.py > $(or $(OUT),sbom.cdx.json)

lint: $(VENV)/.installed ## Check style and types.
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)

docs: $(VENV)/.installed ## Write the tables of README and docs from the code's.
	@$(BIN)/python scripts/docs.py

format: $(VENV)/.installed ## Format the code.
	$(BIN)/ruff format --quiet $(CODE)
	$(BIN)/ruff check --fix --quiet $(CODE) || true
	$(BIN)/ruff format $(CODE)

up: ## Start the appliance (Docker Compose) and wait until all of it is healthy.
	docker compose up -d --build --wait
	@docker compose ps --format 'table {{.Service}}\t{{.Status}}\t{{.Ports}}'

down: ## Stop the appliance; its data stays (docker compose down -v removes it).
	docker compose down

clean: ## Remove what make and the tests made.
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/.quick bench/.node
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: gateway/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; choose another with: make PYTHON=python3.13 ..."; exit 1; }
	@echo "Setting up $(VENV) (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e 'gateway[dev]'
	@touch $@
