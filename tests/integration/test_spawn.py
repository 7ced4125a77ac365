"""The agent's side of runs: adopting them, losing them, and never having two of one app."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Self, Unpack

import pytest

from appagent.host import boot
from appagent.model.applied import Identity
from appagent.model.words import Outcome
from appagent.run import launch, popen
from tests import running
from tests.running import ME, RunFields, Runs, World, alive, becomes, members
from tests.waiting import until

LONG = "install:\n\t@echo x >>begun; until [ -e go ]; do sleep .05; done; echo x >>done\n"


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


class Daemon:
    """An agent of one run in a process of its own."""

    def __init__(self, world: World, target: str, **fields: Unpack[RunFields]) -> None:
        self.run = run = world.plan(target, **fields)
        asked = {
            name: getattr(run, name)
            for name in (
                *("id", "app", "root", "target", "previous", "layout", "release_dir"),
                *("reason", "deploy", "timeout", "grace"),
            )
        }
        asked["version"] = [run.version.release, run.version.conf]
        asked["run_as"] = ME
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.begin_one",
                str(world.state),
                json.dumps(asked),
                str(world.runtime),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        word, pid, started = self.out.readline().split()
        assert word == "began"
        self.pid = int(pid)
        world.sessions.append(self.pid)
        self.run = replace(run, identity=Identity(self.pid, int(started), "", boot.boot()))

    def go(self) -> None:
        self.into.write("\n")
        self.into.flush()
        assert self.out.readline() == "gone\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.into.close()
        self.out.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


# --- the agent goes down -------------------------------------------------------------------------


def test_an_agent_that_dies_before_the_go_has_run_nothing(world: World) -> None:
    app = world.app(LONG)
    with Daemon(world, "install") as daemon:
        pass
    until(lambda: not alive(daemon.pid))
    assert not (app / "begun").exists()

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(daemon.run)
        ended = await agent.ended()
        assert (ended.outcome, ended.adopted) == (Outcome.CANCELLED, True)
        assert "nothing ran" in ended.line

    world.play(scene)


def test_a_run_outlives_its_agent_and_the_next_one_adopts_it(world: World) -> None:
    app = world.app(LONG)
    with Daemon(world, "install") as daemon:
        daemon.go()
        until((app / "begun").exists)

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(daemon.run)
        (app / "go").touch()
        ended = await agent.ended()
        assert (ended.outcome, ended.adopted) == (Outcome.OK, True)

    world.play(scene)
    assert (app / "begun").read_text() == (app / "done").read_text() == "x\n"


def test_a_run_that_ended_while_no_agent_was_there_tells_its_outcome(world: World) -> None:
    app = world.app("install:\n\t@until [ -e go ]; do sleep .05; done; echo sorry; exit 3\n")
    with Daemon(world, "install") as daemon:
        daemon.go()
    (app / "go").touch()
    until(lambda: not alive(daemon.pid))

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(daemon.run)
        ended = await agent.ended()
        assert (ended.outcome, ended.exit_code, ended.adopted) == (Outcome.FAILED, 2, True)
        assert "sorry" in ended.tail
        assert ended.seconds > 0

    world.play(scene)


@pytest.mark.parametrize("moment", range(10))
def test_whenever_the_agent_is_killed_the_run_happens_once_or_never(
    world: World, moment: int
) -> None:
    app = world.app("install:\n\t@echo x >>done\n")
    with Daemon(world, "install") as daemon:
        daemon.into.write("\n")
        daemon.into.flush()
        time.sleep(moment * 0.004)  # the moments of a run, one after the other

    async def scene(agent: Runs) -> Outcome:
        agent.spawner.adopt(daemon.run)
        return (await agent.ended()).outcome

    outcome = world.play(scene)
    done = (app / "done").read_text() if (app / "done").exists() else ""
    assert (outcome, done) in {(Outcome.OK, "x\n"), (Outcome.CANCELLED, "")}


def test_an_adopted_run_can_be_ended(world: World) -> None:
    app = world.app(LONG)
    with Daemon(world, "install") as daemon:
        daemon.go()
        until((app / "begun").exists)

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(daemon.run)
        agent.spawner.end(daemon.run.id, "a newer release")
        ended = await agent.ended()
        assert (ended.outcome, ended.line) == (Outcome.CANCELLED, "a newer release")

    world.play(scene)
    assert not members(daemon.pid)


def test_an_end_that_was_asked_for_before_the_crash_is_carried_out(world: World) -> None:
    app = world.app(LONG)
    with Daemon(world, "install") as daemon:
        daemon.go()
        until((app / "begun").exists)

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(replace(daemon.run, cancelled="a newer release"))
        ended = await agent.ended()
        assert (ended.outcome, ended.line) == (Outcome.CANCELLED, "a newer release")

    world.play(scene)


def test_the_deadline_holds_while_the_agent_is_stopped(world: World) -> None:
    app = world.app("install:\n\t@touch begun; sleep 600\n")
    with Daemon(world, "install", timeout=1.0, grace=0.2) as daemon:
        daemon.go()
        until((app / "begun").exists)
        os.kill(daemon.process.pid, signal.SIGSTOP)
        until(lambda: world.results() == [daemon.run.id])
        until(lambda: not members(daemon.pid))
        os.kill(daemon.process.pid, signal.SIGCONT)
        assert daemon.out.readline() == "ended timeout\n"


def test_an_agent_that_ends_cleanly_leaves_its_runs_alone(world: World) -> None:
    app = world.app(LONG)

    async def first(agent: Runs) -> Identity:
        run = world.plan("install", id="one")
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        return identity

    identity = world.play(first)
    assert alive(identity.pid)

    async def second(agent: Runs) -> None:
        agent.spawner.adopt(world.plan("install", id="one", identity=identity))
        (app / "go").touch()
        assert (await agent.ended()).outcome is Outcome.OK

    world.play(second)


# --- the shim goes down --------------------------------------------------------------------------

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
        ("shim.left", Outcome.OK, True),
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
