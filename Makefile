# Each target works as the first command typed after cloning: it makes what it needs, with Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Tests of one process run on all cores. Those with clusters and Ray run two at a time, as each waits for most of its
# time; but those marked `alone`, which measure seconds or have a real node, and need the machine to themselves.
QUICK := tests/unit tests/sim tests/chart
REST := hack/cluster/tests tests/integration tests/newcomer tests/cluster tests/e2e
SIDE_BY_SIDE := -n auto --maxprocesses 8 --dist loadscope
TWO_AT_A_TIME := -n 2 --dist loadscope --no-loadscope-reorder

SCHEDULES ?= 2000
SEED ?= 0
JOBS ?= 1
KIND ?= trainingjob

.PHONY: help run test test-long test-unit sim bench demo lint generate site clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml requirements/dev.lock requirements/bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Headway needs Python 3.11 or newer; $$($(PYTHON) --version) is what \`$(PYTHON)\` is here. Name another with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements/dev.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

run: $(READY) ## train examples/digits.yaml on this machine; leaves out/digits/result.json and report.md
	$(BIN)/headway run examples/digits.yaml

test: $(READY) ## what must pass at each change: every test that this machine can run but the long ones
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not long" $(QUICK)
	$(BIN)/pytest $(TWO_AT_A_TIME) -m "not long and not alone" $(REST)
	$(BIN)/pytest -m "not long and alone" $(REST)

test-long: $(READY) ## every test, also those that wait for minutes: before a release, and when an issue is closed
	$(BIN)/pytest $(SIDE_BY_SIDE) $(QUICK)
	$(BIN)/pytest $(TWO_AT_A_TIME) -m "not alone" $(REST)
	$(BIN)/pytest -m "alone" $(REST)

test-unit: $(READY) ## the tests of pure functions: about a minute
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/unit

bench: $(READY) ## the figures of tests/bench, each beside its reference; ONLY="scale" or "scale.jobs", SET="jobs=100"
	@PYTHONPATH=tests:hack/cluster $(BIN)/python -m bench --only "$(ONLY)" --set "$(SET)"

sim: $(READY) ## play the operator against SCHEDULES=2000 simulated clusters from SEED=0 on, JOBS=1 at a time; KIND=modeldeployment or autoscaled: those of that kind
	PYTHONPATH=tests $(BIN)/python -m sim --kind $(KIND) --schedules $(SCHEDULES) --seed $(SEED) --jobs $(JOBS) $(if $(BUG),--bug "$(BUG)")

demo: $(READY) ## a real cluster on this machine (needs root): helm install, kubectl apply, wait, show
	hack/demo

lint: $(READY) ## format, lint, types, layers, prose
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml
	PYTHONPATH=hack/site $(BIN)/python -m headway_site.prose

generate: $(READY) ## write what is generated from the models: CRDs, their copy in the chart, the reference; Grafana's dashboards; the list of decisions
	$(BIN)/python -m headway_api.crd --output crds
	cp crds/headway.dev_*.yaml charts/headway/files/crds/
	$(BIN)/python -m headway_api.reference --output docs/reference
	$(BIN)/python -m headway_trainer.report > docs/reference/result.schema.json
	$(BIN)/python -m headway_trainer.report trial > docs/reference/trial.schema.json
	$(BIN)/python -m headway_operator.reference > docs/reference/metrics.md
	PYTHONPATH=hack/dashboards $(BIN)/python -m headway_dashboards charts/headway/files/dashboards
	$(BIN)/python -m headway_cli.reference > docs/reference/cli.md
	$(BIN)/python -m headway.reference > docs/reference/client.md
	PYTHONPATH=hack/site $(BIN)/python -m headway_site.decisions > docs/decisions/README.md

site: $(READY) ## build README and docs/ as a site with a search into dist/site; a link that leads nowhere fails it
	@PYTHONPATH=tests:hack/cluster:hack/site $(BIN)/python -m headway_site dist/site

clean: ## remove what these targets made in this folder; caches outside it stay
	rm -rf $(VENV) out dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
