"""The agent's side of runs where a shim is killed, or cannot start: never two of one app."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator

import pytest

from appagent.model.words import Outcome
from appagent.run import launch, popen
from tests import running
from tests.one_daemon import Daemon
from tests.running import Runs, World, alive, becomes, members
from tests.waiting import until

LONG = "install:\n\t@echo x >>begun; until [ -e go ]; do sleep .05; done; echo x >>done\n"


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


STUBBORN = (
    "install:\n\t@trap '' TERM; touch begun; "
    "sh -c 'trap \"\" TERM; while :; do sleep .1; done' & wait; sleep 600\n"
)


def test_a_killed_shim_is_lost_only_once_nothing_of_its_run_is_left(world: World) -> None:
    app = world.app(STUBBORN)

    async def scene(agent: Runs) -> None:
        run = world.plan("install", grace=0.3)
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        os.kill(identity.pid, signal.SIGKILL)
        ended = await agent.ended()
        assert ended.outcome is Outcome.LOST
        assert not members(identity.pid)

    world.play(scene)


def test_what_a_killed_shim_left_is_ended_by_the_next_agent(world: World) -> None:
    app = world.app(STUBBORN)
    with Daemon(world, "install", grace=0.3) as daemon:
        daemon.go()
        until((app / "begun").exists)
        os.kill(daemon.process.pid, signal.SIGKILL)
        os.kill(daemon.pid, signal.SIGKILL)
    until(lambda: not alive(daemon.pid))
    assert members(daemon.pid)

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(daemon.run)
        ended = await agent.ended()
        assert (ended.outcome, ended.adopted) == (Outcome.LOST, True)

    world.play(scene)
    assert not members(daemon.pid)


@pytest.mark.parametrize(
    ("place", "outcome", "ran"),
    [
        ("shim.ready", Outcome.REFUSED, False),
        ("shim.proceed", Outcome.LOST, False),
        ("shim.locked", Outcome.LOST, False),
        ("child.names", Outcome.REFUSED, False),
        ("child.read", Outcome.REFUSED, False),
        ("child.ask", Outcome.FAILED, False),
        ("child.make", Outcome.FAILED, False),
        ("shim.ended", Outcome.LOST, True),
        ("shim.recorded", Outcome.OK, True),
    ],
)
def test_a_kill_anywhere_in_the_shim_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str, outcome: Outcome, *, ran: bool
) -> None:
    app = world.app("install:\n\t@echo x >>done\n")
    monkeypatch.setenv(launch.FAILPOINTS, f"{place}=die")

    async def scene(agent: Runs) -> Outcome:
        run = world.plan("install")
        await agent.begin(run)
        if place == "shim.ready":  # it dies before it can proceed
            await becomes(lambda: run.id in agent.spawner.over(()))
        agent.spawner.proceed(run.id)
        return (await agent.ended()).outcome

    assert world.play(scene) is outcome
    assert (app / "done").exists() is ran


def test_a_shim_that_is_stopped_does_not_hold_its_app_for_ever(world: World) -> None:
    world.overdue = 0.3
    app = world.app("install:\n\t@touch begun; sleep 600\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install", timeout=0.7, grace=0.1)
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        os.kill(identity.pid, signal.SIGSTOP)
        assert (await agent.ended()).outcome is Outcome.LOST
        assert not members(identity.pid)

    world.play(scene)


def test_a_run_without_its_python_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"{world.base}/bin/python3"
    monkeypatch.setattr(sys, "executable", gone)
    world.app("install:\n\ttrue\n")

    async def scene(agent: Runs) -> None:
        with pytest.raises(OSError, match="install appagent again") as told:
            await agent.begin(world.plan("install"))
        assert gone in str(told.value)

    world.play(scene)


def test_a_run_without_systemd_run_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = world.base / "systemd-run"
    gone.write_text("#!/nowhere/at/all\n")
    gone.chmod(0o755)
    monkeypatch.setenv("PATH", str(world.base))
    world.scopes = True
    world.app("install:\n\ttrue\n")

    async def scene(agent: Runs) -> None:
        with pytest.raises(OSError, match=f"{gone}.*install the systemd package") as told:
            await agent.begin(world.plan("install"))
        assert "No such file" in str(told.value)

    world.play(scene)


def test_a_disk_that_takes_nothing_keeps_no_run_from_it(world: World) -> None:
    """Neither results nor output nor complaints can be written there."""
    shutil.rmtree(world.state)
    world.state.write_text("in the way")
    app = world.app("install:\n\t@echo hello; touch done\n")
    ended = world.run("install")
    assert ended.outcome is Outcome.OK
    assert (app / "done").exists()
    assert "is lost" in ended.warnings[0]


def test_a_shim_that_breaks_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = world.base / "broken.py"
    broken.write_text("raise RuntimeError('out of luck')\n")
    monkeypatch.setattr(popen, "SHIM", str(broken))
    world.app("install:\n\ttrue\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        await agent.begin(run)
        ended = await agent.ended()
        assert ended.outcome is Outcome.REFUSED
        assert "out of luck" in ended.line

    world.play(scene)


@pytest.mark.parametrize("lock", ["there", "none"])
def test_a_result_that_the_disk_does_not_take_is_told_all_the_same(world: World, lock: str) -> None:
    app = world.app(LONG.replace("echo x >>done", "echo sorry; exit 1"))
    if lock == "none":
        world.runtime.write_text("in the way")

    async def scene(agent: Runs) -> None:
        run = world.plan("install")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        shutil.rmtree(world.state / "runs")
        (app / "go").touch()
        ended = await agent.ended()
        assert ended.outcome is Outcome.FAILED
        assert ("sorry" if lock == "there" else "could not be written") in ended.line

    world.play(scene)
