# Every target makes its own environment first. `make demo` and `make test` are all that a newcomer needs.
.DEFAULT_GOAL := help
.PHONY: help demo test test-browser soak test-alone test-peers test-postgres bench compare dev dashboard docs lint format clean lock
SHELL := /bin/sh

py := .venv/bin/python
funnelhouse := $(py) -m orchestration.cli
scale ?= medium

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

.venv/.complete: requirements.lock pyproject.toml scripts/bootstrap.sh
	@./scripts/bootstrap.sh

demo: .venv/.complete ## the whole flow on the simulated company: sandbox, extraction, warehouse, audits, publication, summary
	@$(funnelhouse) demo --scale $(scale)

test: .venv/.complete ## all tests (about twelve minutes on two cores, no network, no credentials)
	@$(py) -m pytest -n 3 --dist loadscope

test-browser: .venv/.complete ## the dashboard in Chromium: every page and filter, figures against SQL, pictures
	@$(py) -m pytest -n 2 --dist loadfile -m browser tests/browser

soak: .venv/.complete ## sixty simulated days, one run a day, against one full run at the end
	@$(py) -m pytest -m soak tests/integration/test_simulated_days.py

test-alone: .venv/.complete ## each connected system by itself, and every one twice, builds and publishes every mart (about ten minutes)
	@$(py) -m pytest -m alone -n 2 tests/integration/test_alone.py tests/integration/test_connections.py

.venv-peers/.complete: .venv/.complete scripts/peers.sh
	@./scripts/peers.sh

test-peers: .venv-peers/.complete ## attribution against public libraries, which are installed beside the environment
	@.venv-peers/bin/python -m pytest -m peers tests/reference

test-postgres: .venv/.complete ## publishing to a PostgreSQL server, which the tests start (Debian: apt-get install postgresql)
	@$(py) -m pytest -m postgres tests/outlets

bench: .venv-peers/.complete ## speed and memory against peers, side by side; writes docs/benchmarks.md (about an hour)
	@.venv-peers/bin/python -m pytest -m bench -s --timeout 7200 tests/benchmarks

compare: .venv/.complete ## attribution models against the simulated company's truth; writes docs/attribution.md
	@$(funnelhouse) sandbox compare --seeds 1,2,3,4,5,6 --scale small --write docs/attribution.md

dev: .venv/.complete ## the Dagster UI on 127.0.0.1:3000, on the data folder that `make demo` filled
	@$(funnelhouse) dev

dashboard: .venv/.complete ## the dashboard on 127.0.0.1:8501, on what the data folder has published
	@$(funnelhouse) dashboard

docs: .venv/.complete ## what every table and column means, as one web page: data/docs/index.html
	@$(funnelhouse) docs

lint: .venv/.complete ## ruff, mypy, sqlfluff, Dagster's own validation
	@$(py) -m ruff check .
	@$(py) -m ruff format --check .
	@$(py) -m mypy
	@PYTHONWARNINGS=ignore $(py) -m sqlfluff lint --processes 2 --disable-progress-bar dbt_project/models dbt_project/tests
	@$(funnelhouse) validate

format: .venv/.complete ## let ruff and sqlfluff mend what they can
	@$(py) -m ruff check --fix .
	@$(py) -m ruff format .
	@$(py) -m sqlfluff fix --processes 2 --disable-progress-bar dbt_project/models dbt_project/tests

lock: ## resolve requirements.lock anew (needs uv)
	@uv pip compile pyproject.toml --extra dev --extra dashboard --extra metrics --extra postgres --python-version 3.11 --universal --generate-hashes --no-emit-index-url \
		--no-header --no-strip-extras --quiet --output-file requirements.lock

clean: ## remove what runs made (the data folder too), keep .venv
	@rm -rf data dbt_project/target dbt_project/logs logs .pytest_cache .mypy_cache .ruff_cache .hypothesis
