"""Fleets side by side: none meets another, and of none that is interrupted anything is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from . import cgroup, machine
from .fleet import Fleet, Shape, sweep
from .test_fleet_itself import answers
from .wait import wait_until

# Two tests that have a fleet each and then wait for their end.
WAITING = """\
import time
import pytest
from tests.fleet import Shape

@pytest.mark.parametrize("number", [1, 2])
def test_that_waits(raise_fleet, number):
    raise_fleet(Shape(apps=1, file_servers=0, dev=False, start_agent=False))
    open(f"{__file__}.{number}", "w").close()
    time.sleep(600)
"""


def assert_nothing_left(name: str) -> None:
    """No group, namespace, mount, loop device or file of that fleet."""
    assert f"/fleet-{name}\n" not in machine.sh("find", "/sys/fs/cgroup", "-maxdepth", "2")
    assert f"{name}-" not in machine.sh("ip", "netns", "list")
    assert f"/{name}/" not in machine.sh("cat", "/proc/self/mountinfo")
    assert f"/{name}/" not in machine.sh("losetup", "--list")
    assert not (machine.DISKS / name).exists()


def test_another_fleet_lives_beside_and_is_gone_afterwards(fleet: Fleet) -> None:
    """The same addresses, no way from one to the other, and nothing is left."""
    name = f"{fleet.name}y"
    with Fleet(name, Shape(apps=1, file_servers=0, dev=False, start_agent=False)) as other:
        app1 = other.host("app1")
        assert app1.out("hostname") == "app1"
        assert not answers(app1, fleet.host("fs1"))
        assert fleet.host("app1").leader != app1.leader
    assert_nothing_left(name)


def test_what_an_interrupted_run_has_left_is_taken_away(fleet: Fleet) -> None:
    """A process that is killed with its fleet up leaves nothing that the next one would find."""
    name = f"{fleet.name}z"
    script = f"""
import time
from fleet import Fleet, Shape
with Fleet({name!r}, Shape(apps=1, file_servers=0, dev=False, start_agent=False)):
    print("up", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(machine.REPOSITORY / "tests")},
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        process.kill()
    assert cgroup.populated(cgroup.top(name))
    sweep()
    assert_nothing_left(name)
    assert fleet.host("app1").ok("true")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name
)
def test_tests_side_by_side_that_are_interrupted_leave_nothing(
    fleet: Fleet, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, which all of them get; an end that only the first gets; and one that nobody sees."""
    name = f"{fleet.name}i"
    tests = tmp_path / "test_waiting.py"
    tests.write_text(WAITING)
    mine = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    beside = ["--numprocesses=2", "-p", "tests.fleet.conftest", "-p", "no:cacheprovider"]
    words = [sys.executable, "-m", "pytest", *beside, f"--rootdir={machine.REPOSITORY}", str(tests)]
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *words],  # a shell ignores it for what is in the background
        cwd=machine.REPOSITORY,
        env={**mine, "FLEET": name},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("*.py.*"))) == 2, 120, "both fleets are up")
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(120)
    finally:
        process.kill()
        process.wait()
    if number == signal.SIGKILL:
        wait_until(lambda: swept(name), 60, "what nobody could take away is taken away")
    for worker in range(2):
        assert_nothing_left(f"{name}{worker}x0")
    assert fleet.host("app1").ok("true")


def swept(name: str) -> bool:
    """Take away what is nobody's any more; whether nothing of these fleets is left."""
    sweep()
    return not list(machine.RUN.glob(f"{name}*.temporary"))
