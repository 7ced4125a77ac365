"""The lock of an app, which keeps two runs apart where no record does."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appagent.host import proc
from appagent.shim import kill
from tests.integration.crashes import good, let_go, waiting
from tests.integration.node import Node, SymlinkApp, TreeApp, node, wait_until
from tests.integration.shown import QUICK
from tests.integration.test_one_run import (
    begun,
    in_turn,
    lock_of,
    long,
    told,
)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path, **QUICK) as one:
        yield one


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """A lock that a run holds of which nobody knows anything more."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write('{"pid": 4711, "target": "restart", "run_id": "0-1"}\n')
        file.flush()
        yield


def test_a_run_beside_one_that_cannot_be_taken_over_waits_and_is_no_failure(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1")
    good(made, "web", "1")
    with held(lock_of(made)):
        app.deploy("2")
        wait_until(lambda: len(made.notices("run.ended")) >= 6, "it was tried again and again")
        assert made.targets("web") == ["install", "start", "check"]
        state = made.app("web")
        assert (state["state"], state["failures"]) == ("retrying", [])
        assert "make restart (pid 4711, run 0-1)" in state["why"]
    good(made, "web", "2")
    assert made.targets("web")[3:] == ["install", "restart", "check"]
    loud = [notice for notice in made.notices("", "web") if notice["level"] in ("warning", "error")]
    assert [notice["kind"] for notice in loud] == ["run.ended"]
    assert "another run of the app is still alive" in loud[0]["text"]


def test_an_older_shim_that_comes_late_runs_nothing(made: Node) -> None:
    app = SymlinkApp(made, "web")
    where = made.base / "where"
    where.mkdir()
    made.start(APPAGENT_FAILPOINT=f"shim.proceed=pause:{where}")
    app.deploy("1", made.makefile(waiting(made), "build install start restart"))
    wait_until((where / "shim.proceed.here").exists, "its shim has got the go")
    late = made.app("web")["run"]["pid"]
    shutil.rmtree(made.state)
    made.kill()
    made.start()  # nothing tells of the run: it has no record, and no lock yet
    begun(made, "build", "1")
    (where / "shim.proceed.go").touch()
    results = wait_until(lambda: list((made.state / "runs").glob("*.json")), "it has left a result")
    wait_until(lambda: proc.process(late) is None, "the late one is over")
    assert made.targets("web") == ["build"]
    assert [json.loads(path.read_text())["outcome"] for path in results] == ["busy"]
    let_go(made)
    good(made, "web", "1")
    in_turn(made)


def test_a_runtime_directory_that_goes_with_the_agent_leaves_it_to_the_record(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", long(made, "install"))
    pid = begun(made, "install", "1")
    made.kill()
    shutil.rmtree(made.runtime)  # as systemd does without RuntimeDirectoryPreserve
    made.start()
    assert made.wait_for("web", "deploying")["run"]["pid"] == pid
    let_go(made)
    good(made, "web", "1")
    assert made.targets("web") == ["install", "start", "check"]
    assert told(lock_of(made))["target"] == "check"  # it is made anew
    assert made.notices("run.warning") == made.notices("run.found") == []


DAEMON = (
    "\t@if [ $@ = start ]; then sleep 3600 </dev/null >/dev/null 2>&1 & echo $$! >{pid}; fi; true"
)


def test_what_an_app_leaves_running_holds_no_lock(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", made.makefile(DAEMON.format(pid=made.base / "left.pid")))
    good(made, "web", "1")
    assert proc.process(int((made.base / "left.pid").read_text())) is not None
    with lock_of(made).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_child_that_hangs_before_make_does_not_have_the_lock(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start(APPAGENT_FAILPOINT="child.read=hang")
    app.deploy("1")
    wait_until(lambda: made.app("web").get("run"), "it runs")
    shim = made.app("web")["run"]["pid"]
    child = wait_until(lambda: kill.below(shim), "its shim has a child").pop()

    def has_it(pid: int) -> bool:
        files = (Path(f"/proc/{pid}/fd")).iterdir()
        return str(lock_of(made)) in {str(file.readlink()) for file in files}

    assert has_it(shim)
    wait_until(lambda: not has_it(child), "its child has let go")


def no_room_for(made: Node) -> None:
    """No directory can be made where the locks would lie."""
    (made.runtime / "runs").write_text("in the way")


def not_ours(made: Node) -> None:
    """There is something else where the lock would lie."""
    (made.runtime / "runs").mkdir()
    lock_of(made).mkdir()


@pytest.mark.parametrize("spoil", [no_room_for, not_ours])
def test_without_a_lock_apps_are_deployed_and_that_is_said_once(
    made: Node, spoil: Callable[[Node], None]
) -> None:
    app = SymlinkApp(made, "web")
    made.runtime.mkdir()
    spoil(made)
    made.start()
    app.deploy("1")
    good(made, "web", "1")
    app.deploy("2")
    good(made, "web", "2")
    said = [notice["text"] for notice in made.notices("run.warning")]
    assert len(said) == 1
    assert "two runs at once are ruled out by the agent's records alone" in said[0]


def test_the_lock_of_an_app_that_is_gone_is_removed(made: Node) -> None:
    app, other = SymlinkApp(made, "web"), TreeApp(made, "other")
    made.start()
    for one in (app, other):
        one.deploy("1")
        good(made, one.name, "1")
    assert lock_of(made).exists()
    app.remove()
    wait_until(lambda: made.app("web") == {}, "it is gone")
    assert [path.name for path in lock_of(made).parent.iterdir()] == ["other.lock"]
    assert made.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="running as another user needs root")
def test_an_app_cannot_hold_its_own_lock(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1")
    good(made, "web", "1")
    for path in (made.base, made.base.parent, made.runtime):
        path.chmod(0o755)
    argv = ["setpriv", "--reuid=65534", "--clear-groups", "flock", "-n", str(lock_of(made)), "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "Permission denied" in done.stderr
