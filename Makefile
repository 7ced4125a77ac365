# For people: run, test, lint, bench, wheel, clean. All of them set up .venv by themselves.
# For a node, as any app's Makefile has them: install, start, restart, stop, check. As root; see
# systemd/node. appagent can be deployed by appagent.

BIN := .venv/bin

# The first Python that is new enough and runs; `make PYTHON=… run` puts another one first.
define pick_python
for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3 ""; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
done; \
[ -n "$$python" ] || { echo "appagent needs Python 3.11 or newer: install one, or say: make PYTHON=/path/to/it $@" >&2; exit 1; }
endef

help:
	@echo "make run    try it: three small apps, and the agent in the foreground"
	@echo "make test   lint, types, and all tests that need no root"
	@echo "make lint | bench | wheel | clean"
	@echo "make install start | restart | stop | check    as root: appagent on this node"

# --- for people ----------------------------------------------------------------------------------

run: .venv/run.ready
	@$(BIN)/python examples/lay_out.py .run
	@APPAGENT_CONFIG="$(CURDIR)/.run/appagent.yaml" exec $(BIN)/appagent run

test: lint
	$(BIN)/pytest --numprocesses=8 --dist=worksteal

# Random lives of the core, 2,000 of them; again with other ones: make test-long SEED=2
test-long: .venv/dev.ready
	HYPOTHESIS_PROFILE=long nice $(BIN)/pytest tests/property --hypothesis-seed=$(or $(SEED),1)

lint: .venv/dev.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy --config-file= --strict examples/apps/*/*.py

bench: .venv/dev.ready
	@for it in tests/bench/*.py; do echo "# $$it"; $(BIN)/python "$$it" || exit 1; done

# What setuptools finds in an old build directory it puts into the wheel.
wheel: .venv/dev.ready
	@rm -rf build
	$(BIN)/python -m build --wheel --no-isolation
	@rm -rf build

clean:
	@if [ -d .run ]; then $(pick_python); "$$python" examples/lay_out.py .run --clear; fi
	@rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/run.ready: pyproject.toml constraints.txt
	@echo "setting up .venv ..."
	@$(pick_python); "$$python" systemd/venv.py .venv -e .
	@touch $@

.venv/dev.ready: pyproject.toml constraints.txt
	@echo "setting up .venv for the tests ..."
	@$(pick_python); "$$python" systemd/venv.py .venv -e '.[dev]'
	@touch .venv/run.ready $@

# make test-fleet, fleet-up, fleet-shell …
-include tests/fleet/fleet.mk

# --- for a node ----------------------------------------------------------------------------------

install:
	@$(pick_python); PYTHON="$$python" sh systemd/node install

start restart stop check:
	@sh systemd/node $@

.PHONY: help run test test-long lint bench wheel clean install start restart stop check
