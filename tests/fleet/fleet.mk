# The test fleet: real servers on this machine, as root. Included by the top Makefile.
#
#   make fleet-up [N=3]                     file servers fs1, fs2; app servers app1 … appN; dev
#   make fleet-shell HOST=app1
#   make fleet-run HOST=app1 CMD='…'        its output; tests/fleet/fleet run ends with its status, too
#   make fleet-down
#   tests/fleet/fleet --help                what else: power, network, mounts, bricks, disks, a push
#   make test-fleet [TESTS=tests/fleet]     on two fleets side by side; FLEETS=1: on one
# FLEET=name: a fleet beside others (default: f; tests: t, side by side t0 and t1)

N ?= 3
HOST ?= app1
TESTS ?= tests/fleet
FLEETS ?= $(if $(FLEET_KEEP),1,2)
FLEETS_BESIDE := $(if $(filter-out 1,$(FLEETS)),--numprocesses=$(FLEETS) --dist=load --maxschedchunk=1)
FLEET_SUDO := $(if $(filter 0,$(shell id -u)),,sudo -E)
FLEET_CMD := $(value CMD)
export FLEET_CMD

.PHONY: fleet-up fleet-shell fleet-run fleet-down fleet-packages test-fleet

fleet-packages:
	@$(FLEET_SUDO) tests/fleet/install-packages

fleet-up: .venv/dev.ready fleet-packages
	@$(FLEET_SUDO) tests/fleet/fleet up $(N)

fleet-shell:
	@$(FLEET_SUDO) tests/fleet/fleet shell $(HOST)

fleet-run:
	@$(FLEET_SUDO) tests/fleet/fleet run $(HOST) "$$FLEET_CMD"

fleet-down:
	@$(FLEET_SUDO) tests/fleet/fleet down

test-fleet: .venv/dev.ready fleet-packages
	$(FLEET_SUDO) tests/fleet/fleet image
	$(FLEET_SUDO) .venv/bin/python -m pytest -o timeout=1800 $(FLEETS_BESIDE) $(TESTS)
