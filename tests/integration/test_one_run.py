"""Never two runs of one app at a time, whatever an agent can remember of them.

What a test takes away is the record: by a disk that is full, or by removing all of the state. The
agent is then killed during a long run, and the next one has to find that out.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.host import proc
from tests.integration.crashes import LOCKED, good, let_go, nothing_ran_twice, waiting
from tests.integration.node import Node, SymlinkApp, node, wait_until
from tests.integration.shown import QUICK, Shown
from tests.integration.test_restart_of_the_agent import fill, remember_on, small_disk

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path, **QUICK) as one:
        yield one


@pytest.fixture
def small(made: Node, tmp_path: Path) -> Iterator[Node]:
    """A node whose state is on a disk with little room."""
    with small_disk(tmp_path / "disk") as disk:
        remember_on(disk, made)
        yield made
        made.clean_up()


def full(made: Node) -> Path:
    """Fill the disk of the state; what fills it.

    The agent before removes what its runs have left there, which would make room again.
    """
    made.restart()
    return fill(made.state.parent)


def lock_of(made: Node, app: str = "web") -> Path:
    return made.runtime / "runs" / f"{app}.lock"


def told(path: Path) -> dict[str, object]:
    """What the lock of an app says of its newest run."""
    found: dict[str, object] = json.loads(path.read_text().splitlines()[0])
    return found


def begun(made: Node, target: str, version: str) -> int:
    """Wait until a target of a version has begun, and the agent knows; the pid of its shim."""

    def there() -> bool:
        calls = made.calls("web")
        return bool(calls) and (calls[-1].target, calls[-1].version) == (target, version)

    wait_until(there, f"{target} of {version} has begun")
    pid: int = made.app("web")["run"]["pid"]
    assert told(lock_of(made))["pid"] == pid
    return pid


def long(made: Node, target: str) -> str:
    """A Makefile that takes its time for one target."""
    wait = waiting(made).strip().removeprefix("@")
    return made.makefile(f"\t@if [ $@ = {target} ]; then {wait}; fi")


def taken_over(made: Node, pid: int, target: str) -> None:
    """The agent waits for a run that it has no record of, says so once, and begins nothing else."""
    Shown(made).marker()  # it has looked at all there is
    found = made.notices("run.found")
    assert [(notice["app"], notice["target"], notice["level"]) for notice in found] == [
        ("web", target, "warning")
    ]
    assert f"pid {pid}" in found[0]["text"]
    app = made.app("web")
    assert (app["state"], app["run"]["pid"], app["run"]["target"]) == ("deploying", pid, target)


def in_turn(made: Node) -> None:
    """Each run of the app has ended before the next one began."""
    calls = [call for call in made.calls("web", "") if call.target != "stop"]
    assert [call.what for call in calls] == ["begin", "end"] * (len(calls) // 2), calls


# --- the record was never written, or is gone ----------------------------------------------------


@AS_ROOT
@pytest.mark.parametrize("target", ["install", "restart"])
def test_on_a_full_disk_a_run_is_taken_over_after_a_crash(small: Node, target: str) -> None:
    app = SymlinkApp(small, "web")
    small.start()
    app.deploy("1")
    good(small, "web", "1")
    ballast = full(small)
    app.deploy("2", long(small, target))
    pid = begun(small, target, "2")
    assert "apps/web/record.json" in small.status()["unwritten"]
    small.kill()
    app.deploy("3")
    small.start()
    before = small.targets("web")
    if target == "restart":  # an install is ended for a newer release, as any other
        taken_over(small, pid, target)
        assert small.targets("web") == before
        let_go(small)
    good(small, "web", "3")
    assert small.targets("web") == [*before, "install", "restart", "check"]
    assert [
        notice["outcome"] for notice in small.notices("run.ended") if notice.get("adopted")
    ] == ["ok" if target == "restart" else "cancelled"]
    if target == "restart":
        in_turn(small)
    ballast.unlink()
    small.restart()
    Shown(small).marker()
    assert small.targets("web") == [*before, "install", "restart", "check"]
    assert len(small.notices("run.found")) == 1


@pytest.mark.parametrize("target", ["start", "restart"])
def test_a_run_is_taken_over_when_all_that_was_remembered_is_gone(made: Node, target: str) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    if target == "restart":
        app.deploy("1")
        good(made, "web", "1")
    app.deploy("2", long(made, target))
    pid = begun(made, target, "2")
    shutil.rmtree(made.state)
    made.kill()
    app.deploy("3")
    made.start()
    before = made.targets("web")
    taken_over(made, pid, target)
    assert made.targets("web") == before
    let_go(made)
    good(made, "web", "3")
    # What was started is up: it is not started a second time beside itself.
    assert made.targets("web") == [*before, "install", "restart", "check"]
    in_turn(made)


def test_what_ended_while_neither_an_agent_nor_a_record_was_there_counts(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", long(made, "start"))
    pid = begun(made, "start", "1")
    shutil.rmtree(made.state)
    made.kill()
    let_go(made)
    wait_until(lambda: proc.process(pid) is None, "the run is over")
    made.start()
    good(made, "web", "1")
    assert made.targets("web") == ["install", "start", "install", "restart", "check"]
    made.restart()
    Shown(made).marker()
    assert made.targets("web") == ["install", "start", "install", "restart", "check"]
    assert len(made.notices("run.found")) == 1


def test_of_a_killed_shim_that_no_record_tells_of_nothing_is_left_beside_the_next(
    made: Node,
) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", LOCKED.format(base=made.base, calls=made.calls_file, seconds=3600))
    shim = begun(made, "install", "1")
    shutil.rmtree(made.state)
    made.kill()
    os.kill(shim, signal.SIGKILL)
    app.deploy("2", LOCKED.format(base=made.base, calls=made.calls_file, seconds=0))
    made.start()
    good(made, "web", "2")
    assert made.targets("web") == ["install", "install", "start", "check"]  # and no "overlap"
    nothing_ran_twice(made)
    lost = [notice for notice in made.notices("run.ended") if notice["outcome"] == "lost"]
    assert [(notice["target"], notice["adopted"]) for notice in lost] == [
        ("build", "yes")
    ]  # it was begun for
