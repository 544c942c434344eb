# The two commands of the README: `make demo` and `make test`. The environment is made, locked, on first use.
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
PACKAGE := dbt_project/dbt_packages/millrace

.PHONY: wheel platforms demo drill superset superset-lock test test-all fault mutants bench soak coverage lint lock env clean

demo: env
	@$(BIN)/millrace demo $(ARGS)

# Breaks a demo system on purpose, for three minutes, and counts what held.
drill: env
	@$(BIN)/millrace drill $(ARGS)

# Apache Superset with the plant's dashboard, beside a running Millrace (docs/bi.md).
superset: env
	@$(BIN)/python -m deploy.superset $(ARGS)

# Most tests wait rather than compute: more workers than cores. docs/testing.md says more.
WORKERS ?= 4
SLOW_WORKERS ?= 3
# make hands on what its command line sets, and a test must not see it: libraries read names as plain as these.
unexport WORKERS SLOW_WORKERS ARGS KILLS

test: env
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# What `make test` leaves out for its time: the tests marked slow.
test-all: env
	@$(BIN)/python -m pytest -n $(SLOW_WORKERS) -m "slow and not long" $(ARGS)

# kill -9 by the hundred at every named place, with a table at the end; MILLRACE_FAULT_SEED repeats a run.
# And a running system with planted secrets: where do they turn up, and whom does it call? Its files are on a disk.
fault: env
	@TMPDIR=$${TMPDIR:-/tmp} MILLRACE_FAULT_KILLS=$(or $(KILLS),25) $(BIN)/python -m pytest -n 0 --order-seed 0 -m "" tests/fault tests/security tests/e2e/conditions/test_machine.py tests/e2e/test_ten_minutes.py --timeout 7200 -s $(ARGS)

# Bugs planted in the product one at a time, by people and by a tool: does a test notice each? What was tried is kept.
# ARGS="--only spool" tries those of one part; what the others mean: ARGS=--help.
mutants: env
	@$(BIN)/python -m tests.fault.mutations $(ARGS)

bench: env
	@$(BIN)/python -m benchmarks $(ARGS)

# From launch to model built, ours against the stock chain: fails when the ratio is half or more.
guard: env
	@$(BIN)/python -m pytest -n 0 benchmarks/test_reaction.py $(ARGS)

# Load, readers, a modeller and upkeep for ten minutes or hours (ARGS="--for 7200"): what grows?
soak: env
	@$(BIN)/python -m benchmarks.soak $(ARGS)

coverage: env
	@$(BIN)/python -m pytest -n 0 --cov --cov-report=term:skip-covered $(ARGS)

lint: env
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/sqlfluff lint --disable-progress-bar dbt_project/models \
	  && $(BIN)/sqlfluff lint --disable-progress-bar --config dbt_project/.sqlfluff orchestration/dbt/package/models orchestration/scaffold/shop

# Everything in one file: pip install ./dist/….whl in an empty environment, then `millrace demo` in any folder.
wheel: env
	@rm -rf dist && $(BIN)/python -m hatchling build -t wheel

# Which platforms have a wheel of every locked package; nothing is installed.
platforms: env
	@$(BIN)/python .ci/platforms.py $(ARGS)

env: $(VENV)/.locked $(PACKAGE)

# The dbt package `millrace`, and what else plain `dbt build` needs in a fresh clone.
$(PACKAGE): | $(VENV)/.locked
	@$(BIN)/millrace upgrade-project >/dev/null

$(VENV)/.locked: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Millrace needs Python 3.11 to 3.13: name one with 'make PYTHON=python3.11 …'"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip uninstall --quiet millrace 2>/dev/null || true # the name it had at first
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Resolves again from pyproject.toml; hashes in, package hosts out.
lock:
	@uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links -q -o requirements.lock

# The same for Superset's environment, from deploy/superset/requirements.txt.
superset-lock:
	@uv pip compile deploy/superset/requirements.txt --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links -q -o deploy/superset/requirements.lock

clean:
	@rm -rf $(VENV) .superset/env-* dbt_project/target dbt_project/logs dbt_project/dbt_packages .pytest_cache .mypy_cache .ruff_cache
