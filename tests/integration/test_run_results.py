"""Results of runs: whose they are, damaged ones, and what is left of a run that is over."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appagent.host import boot, proc
from appagent.model.applied import Identity
from appagent.model.words import Outcome
from appagent.shim import output
from tests import running
from tests.running import Runs, World, alive


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


# --- identities ----------------------------------------------------------------------------------


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], start_new_session=True)


@pytest.mark.parametrize("change", ["started", "boot"])
def test_a_process_that_has_got_the_number_of_a_run_is_let_alone(world: World, change: str) -> None:
    with sleeper() as other:
        identity = Identity(other.pid, proc.started(other.pid), "", boot.boot())
        if change == "started":
            identity = replace(identity, started=identity.started - 1)
        else:
            identity = replace(identity, boot="another")

        async def scene(agent: Runs) -> None:
            agent.spawner.adopt(world.plan("install", identity=identity))
            ended = await agent.ended()
            assert (ended.outcome, ended.adopted) == (Outcome.LOST, True)

        world.play(scene)
        assert alive(other.pid)
        other.kill()


def test_a_run_that_was_never_begun_is_lost(world: World) -> None:
    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(world.plan("install"))
        assert (await agent.ended()).outcome is Outcome.LOST

    world.play(scene)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"outcome": "splendid"}', "\0\0\0"])
def test_a_damaged_result_is_a_lost_run(world: World, text: str) -> None:
    runs = world.state / "runs"
    runs.mkdir()
    run = world.plan("install", identity=Identity(1, 1, "", "another"))
    (runs / f"{run.id}.json").write_text(text)

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(run)
        assert (await agent.ended()).outcome is Outcome.LOST

    world.play(scene)


def test_a_result_of_a_later_version_is_understood(world: World) -> None:
    runs = world.state / "runs"
    runs.mkdir()
    run = world.plan("install", identity=Identity(1, 1, "", "another"))
    (runs / f"{run.id}.json").write_text('{"outcome": "ok", "colour": [1, {"a": null}]}')

    async def scene(agent: Runs) -> None:
        agent.spawner.adopt(run)
        assert (await agent.ended()).outcome is Outcome.OK

    world.play(scene)


# --- what is left --------------------------------------------------------------------------------


def test_runs_that_are_over_are_those_that_nobody_waits_for(world: World) -> None:
    world.app("install:\n\ttrue\n")
    for name in ("a", "b", "c"):
        world.run("install", id=name)

    async def scene(agent: Runs) -> None:
        run = world.plan("install", id="d")
        await agent.begin(run)
        assert agent.spawner.over({"b"}) == ["a", "c"]
        agent.spawner.proceed("d")
        assert (await agent.ended()).outcome is Outcome.OK
        assert agent.spawner.over({"b"}) == ["a", "c", "d"]

    world.play(scene)
    assert world.results() == ["a", "b", "c", "d"]


def test_many_runs_at_once_end_each_by_itself(world: World) -> None:
    names = [f"app{number}" for number in range(8)]
    for number, name in enumerate(names):
        world.app(f"install:\n\t@exit {number % 2}\n", name)

    async def scene(agent: Runs) -> dict[str, Outcome]:
        runs = [world.plan("install", app=name) for name in names]
        await asyncio.gather(*(agent.begin(run) for run in runs))
        for run in runs:
            agent.spawner.proceed(run.id)
        return {ended.app: ended.outcome for ended in [await agent.ended() for _ in runs]}

    outcomes = world.play(scene)
    assert [outcomes[name] for name in names] == [Outcome.OK, Outcome.FAILED] * 4


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(world: World) -> None:
    world.app("install:\n\ttrue\n")

    async def scene(agent: Runs) -> None:
        await agent.whole(world.plan("install"))
        before = descriptors()
        for _ in range(5):
            await agent.whole(world.plan("install"))
        assert descriptors() == before

    world.play(scene)


def test_an_old_log_is_cut_by_the_agent_too(world: World) -> None:
    log = Path(world.state / "log" / "web.log")
    log.parent.mkdir()
    log.write_bytes(b"old\n" * 5_000_000 + b"new\n")

    assert output.trim(str(log))
    assert not output.trim(str(log.with_name("api.log")))
    assert log.stat().st_size == 0
    assert log.with_suffix(".log.1").read_bytes().endswith(b"new\n")
