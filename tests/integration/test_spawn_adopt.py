"""Runs outlive their agent, and the next one adopts them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from appagent.model.applied import Identity
from appagent.model.words import Outcome
from tests import running
from tests.one_daemon import Daemon
from tests.running import Runs, World, alive, becomes, members
from tests.waiting import until

LONG = "install:\n\t@echo x >>begun; until [ -e go ]; do sleep .05; done; echo x >>done\n"


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


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
