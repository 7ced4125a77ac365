"""An agent that is killed at any moment: nothing runs twice, and nothing that ran is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.crashes import (
    LOCKED,
    QUICK,
    died,
    good,
    let_go,
    name_of,
    runs_of,
    waiting,
)
from tests.integration.node import (
    PATIENCE,
    Node,
    SymlinkApp,
    node,
    wait_until,
)

POINTS = ("began", "saved", "went", "ended")
CHECKED = ("install", "restart", "check")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path, **QUICK) as one:
        yield one


def test_what_ran_while_the_history_could_not_be_written_is_in_it_after_a_crash(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1")
    good(made, "web", "1")
    with contextlib.closing(sqlite3.connect(made.state / "history.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")  # who writes has to wait for who writes already
        app.deploy("2")
        good(made, "web", "2")
        made.kill()
    made.start()
    told = [
        (run["target"], name_of(run["release"]), run["outcome"]) for run in runs_of(made, "web")
    ]
    assert told[-3:] == [("install", "2", "ok"), ("restart", "2", "ok"), ("check", "2", "ok")]
    assert len(told) == 6


# --- at exact places -----------------------------------------------------------------------------


def test_crashes_at_every_exact_place_run_nothing_twice(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("0")
    good(made, "web", "0")
    made.stop()
    for point in POINTS:
        made.forget_calls()
        for target in CHECKED:  # one agent after the other, each killed one step further
            # The run that comes to the install was begun for a build.
            begun_for = "build" if target == "install" and point != "ended" else target
            made.start(APPAGENT_FAILPOINT=f"agent.{point}.{begun_for}=die")
            if target == "install":
                app.deploy(point)
            died(made)
        made.start()
        good(made, "web", point)
        assert made.targets("web") == list(CHECKED), (point, made.told())
        assert {call.version for call in made.calls("web")} == {point}
        made.stop()


def test_an_app_comes_and_goes_over_crashes_at_every_exact_place(made: Node) -> None:
    made.defaults["gone_after"] = "200ms"
    made.write_config()
    (made.root / "notes").mkdir()  # an empty root would be taken for one that is not mounted
    for point in POINTS:
        made.forget_calls()
        app = SymlinkApp(made, "web")
        app.deploy(point)
        made.start(APPAGENT_FAILPOINT=f"agent.{point}.start=die")
        died(made)
        made.start(APPAGENT_FAILPOINT=f"agent.{point}.stop=die")
        good(made, "web", point)
        app.remove()
        died(made)
        made.start()
        wait_until(lambda: made.app("web") == {}, "it is gone")
        assert made.targets("web") == ["install", "start", "check", "stop"], point
        assert not (made.state / "apps" / "web").exists()
        made.stop()


def test_a_killed_agent_leaves_no_process_of_its_own(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1")
    good(made, "web", "1")
    assert made.process is not None
    children = psutil.Process(made.process.pid).children(recursive=True)
    assert {watcher["pid"] for watcher in made.status()["watchers"]} <= {
        child.pid for child in children
    }
    made.kill()
    assert psutil.wait_procs(children, PATIENCE)[1] == []


def test_a_run_that_never_got_its_go_never_runs(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start(APPAGENT_FAILPOINT="agent.saved.build=die")
    app.deploy("1")
    died(made)
    # The shim that was left waiting ends, with a result that says so.
    wait_until(lambda: list((made.state / "runs").glob("*.json")), "the shim has left a result")
    assert made.calls() == []
    made.start()
    good(made, "web", "1")
    assert made.targets() == ["install", "start", "check"]
    assert "nothing ran" in runs_of(made, "web")[0]["line"]


def test_a_living_run_is_adopted_and_its_success_is_used(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", made.makefile(waiting(made)))
    running = made.wait_for("web", "deploying")["run"]
    while not made.calls("web"):
        running = made.wait_for("web", "deploying")["run"]
    made.kill()
    made.start()
    adopted = made.wait_for("web", "deploying")["run"]
    assert (adopted["id"], adopted["pid"]) == (running["id"], running["pid"])
    let_go(made)
    good(made, "web", "1")
    assert made.targets("web") == ["install", "start", "check"]
    run = next(run for run in runs_of(made, "web") if run["id"] == running["id"])
    assert (run["target"], run["outcome"], run["adopted"]) == ("install", "ok", True)


def test_a_run_that_ends_while_no_agent_is_there_counts(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", made.makefile(waiting(made)))
    wait_until(lambda: made.calls("web"), "the install has begun")
    made.kill()
    let_go(made)
    wait_until(lambda: list((made.state / "runs").glob("*.json")), "the run has left a result")
    made.start()
    good(made, "web", "1")
    assert made.targets("web") == ["install", "start", "check"]


def test_a_failure_while_no_agent_was_there_is_told_and_tried_again(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    body = f"{waiting(made)}; echo no such gem; exit 3"
    app.deploy("1", made.makefile(body, targets="install"))
    wait_until(lambda: made.calls("web"), "the install has begun")
    made.kill()
    let_go(made)
    wait_until(lambda: list((made.state / "runs").glob("*.json")), "the run has left a result")
    made.start()
    wait_until(lambda: len(made.calls("web")) >= 2, "the install is tried again")
    failed = [run for run in runs_of(made, "web") if run["outcome"] == "failed"]
    assert "no such gem" in failed[0]["line"]
    assert failed[0]["adopted"]


def test_when_agent_and_shim_are_killed_nothing_of_the_run_is_left_beside_the_next(
    made: Node,
) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    app.deploy("1", LOCKED.format(base=made.base, calls=made.calls_file, seconds=3600))
    wait_until(lambda: made.calls("web"), "the install has begun")
    shim = made.app("web")["run"]["pid"]
    made.kill()
    os.kill(shim, signal.SIGKILL)
    app.deploy("2", LOCKED.format(base=made.base, calls=made.calls_file, seconds=0))
    made.start()
    good(made, "web", "2")
    assert made.targets("web") == ["install", "install", "start", "check"]  # and no "overlap"
    lost = [run for run in runs_of(made, "web") if run["outcome"] == "lost"]
    assert [run["target"] for run in lost] == ["install"]


def test_a_run_whose_shim_dies_is_lost_and_done_again(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start(APPAGENT_FAILPOINT="shim.ended=die")
    app.deploy("1", made.makefile(targets="build install start restart"))
    wait_until(lambda: made.targets("web") == ["build", "build"], "it is done again")
    wait_until(lambda: len(made.notices("run.ended", "web")) >= 2, "and that is over too")
    made.stop()
    made.forget_calls()
    made.start()
    good(made, "web", "1")
    assert made.targets("web") == ["build", "install", "start"]
    outcomes = [run["outcome"] for run in runs_of(made, "web") if run["target"] == "build"]
    assert outcomes[:2] == ["lost", "lost"]
    assert outcomes[-1] == "ok"


def test_a_shim_that_was_asked_to_end_is_ended_by_the_next_agent_too(made: Node) -> None:
    app = SymlinkApp(made, "web")
    made.start()
    hard = f'\t@trap "" TERM; {waiting(made).strip()[1:]}'
    made.defaults["grace"] = "30s"  # far more than the test takes
    made.write_config()
    made.stop()
    made.start()
    app.deploy("1", made.makefile(hard))
    wait_until(lambda: made.calls("web"), "the install has begun")
    app.deploy("2")
    wait_until(lambda: made.app("web")["run"]["cancelled"], "the install is to end")
    made.kill()
    made.start()
    assert made.app("web")["run"]["cancelled"] == "a newer release"
    let_go(made)
    good(made, "web", "2")
    assert made.targets("web") == ["install", "install", "start", "check"]
    assert [call.version for call in made.calls("web")] == ["1", "2", "2", "2"]
