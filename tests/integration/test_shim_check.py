"""A check is tried again and again, until it succeeds or its time is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appagent.model.words import Outcome
from tests import running
from tests.running import Runs, World, becomes


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


def test_a_check_is_tried_until_it_succeeds(world: World) -> None:
    app = world.app("check:\n\t@echo x >>tries; [ $$(wc -l <tries) -ge 3 ]\n")
    ended = world.run("check")
    assert (ended.outcome, ended.line, ended.exit_code) == (Outcome.OK, "", 0)
    assert len((app / "tries").read_text().split()) == 3


def test_a_check_that_says_no_to_the_end_has_failed(world: World) -> None:
    world.app("check:\n\t@echo not yet; exit 7\n")
    ended = world.run("check", timeout=1.3)
    assert (ended.outcome, ended.exit_code) == (Outcome.FAILED, 2)
    assert "times in 1s, last: exit 2" in ended.line
    assert "not yet" in ended.tail


def test_a_check_that_hangs_is_a_timeout(world: World) -> None:
    world.app("check:\n\t@sleep 600\n")
    assert world.run("check", timeout=0.5).outcome is Outcome.TIMEOUT


def test_a_check_can_be_cancelled_between_two_tries(world: World) -> None:
    app = world.app("check:\n\t@touch tried; false\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("check")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "tried").exists)
        agent.spawner.end(run.id, "asked")
        assert (await agent.ended()).outcome is Outcome.CANCELLED

    world.play(scene)


def test_a_check_that_is_missing_is_asked_for_once(world: World) -> None:
    world.app("install:\n\ttrue\n")
    assert world.run("check").outcome is Outcome.MISSING
