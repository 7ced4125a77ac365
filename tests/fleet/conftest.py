"""The fleets for tests: raised once, set right before each test, raised anew after a failed one.

    def test_something(fleet: Fleet) -> None: …          three app servers, replica 2
    def test_other(raise_fleet: RaiseFleet) -> None:     one of its own, gone after it
        fleet = raise_fleet(Shape(apps=1, file_servers=3, replica=3))

Every host's journal is kept in .fleet/logs/<test>/ when a test fails. Where no fleet can be raised
the tests are skipped, but in CI they fail. FLEET names the fleet (default: t); FLEET_APPS=1
raises a smaller one, which is enough for tests that take the first node; with FLEET_KEEP=1
the last one stays up (make fleet-shell FLEET=t HOST=app1) until `make fleet-down FLEET=t`.

A fleet mostly waits, so several run side by side, each with a pytest of its own that takes the next
test when it is done with one: `make test-fleet` has FLEETS=2, named t0 and t1.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from types import FrameType

import pytest

from . import machine
from .fleet import Fleet, Shape, sweep

RaiseFleet = Callable[[Shape], Fleet]
FAILED = pytest.StashKey[bool]()
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, …: one of several; else ""
NAME = (os.environ.get("FLEET") or "t") + WORKER.removeprefix("gw")
LONG = ("test_share_trouble", "test_service", "test_machine_down", "test_processes")
APPS = int(os.environ.get("FLEET_APPS") or Shape.apps)


def pytest_configure() -> None:
    """Let SIGTERM end the tests as Ctrl-C does, so that the fleet is taken away."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def pytest_unconfigure() -> None:
    """Take away what a pytest has left that was one of several and had to be killed."""
    if not WORKER and not machine.missing():
        sweep()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that fleets side by side are done at about one time.

    First of all comes what raises a fleet of its own: the shared one need not be up meanwhile.
    """

    def order(item: pytest.Item) -> tuple[bool, bool]:
        own = "raise_fleet" in getattr(item, "fixturenames", ())
        return not own, item.path.stem not in LONG

    items.sort(key=order)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember of each test whether it failed, for the fixtures that end after it."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def logs_of(node: pytest.Item, fleet: Fleet) -> None:
    """Keep every host's journal of a failed test."""
    name = re.sub(r"[^\w.-]+", "-", node.name)
    into = machine.LOGS / (name if fleet.name == NAME else f"{name}.{fleet.name}")
    with contextlib.suppress(Exception):  # what failed is the test
        fleet.keep_logs(into)
    sys.stderr.write(f"\nthe hosts' journals: {into}\n")


class Shared:
    """The fleet that tests share."""

    def __init__(self) -> None:
        """Begin with none."""
        self.fleet: Fleet | None = None

    def ready(self) -> Fleet:
        """Return the fleet, raised and set right."""
        if self.fleet:
            try:
                self.fleet.set_right()
            except Exception as error:  # noqa: BLE001 - whatever is broken, a new one is not
                sys.stderr.write(f"\nthe fleet could not be set right: {error}\n")
                self.drop()
        if not self.fleet:
            fleet = Fleet(NAME, Shape(apps=APPS))
            self.fleet = fleet.__enter__()
        return self.fleet

    def drop(self) -> None:
        """Take the fleet away."""
        if self.fleet:
            self.fleet.__exit__()
            self.fleet = None


@pytest.fixture(scope="session")
def possible() -> None:
    """Skip where no fleet can be raised; in CI that is a failure."""
    lacks = machine.missing()
    if lacks:
        words = f"no fleet can be raised here, for lack of: {', '.join(lacks)}"
        if machine.in_ci():
            pytest.fail(words)
        pytest.skip(words)


@pytest.fixture(scope="session")
def shared(possible: None) -> Iterator[Shared]:
    """Hold the fleet that tests share."""
    del possible
    held = Shared()
    yield held
    if held.fleet and os.environ.get("FLEET_KEEP"):
        held.fleet.keep()
    else:
        held.drop()


@pytest.fixture
def fleet(shared: Shared, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Give a fleet that is up and whole: fs1, fs2, app1 to app3, dev."""
    ready = shared.ready()
    yield ready
    if request.node.stash.get(FAILED, False):
        logs_of(request.node, ready)
        if not os.environ.get("FLEET_KEEP"):
            shared.drop()


@pytest.fixture
def raise_fleet(possible: None, request: pytest.FixtureRequest) -> Iterator[RaiseFleet]:
    """Give a way to raise fleets of another shape, for one test."""
    del possible
    raised: list[Fleet] = []
    with ExitStack() as stack:

        def new(shape: Shape) -> Fleet:
            fleet = stack.enter_context(Fleet(f"{NAME}x{len(raised)}", shape))
            raised.append(fleet)
            return fleet

        yield new
        if request.node.stash.get(FAILED, False):
            for one in raised:
                logs_of(request.node, one)
