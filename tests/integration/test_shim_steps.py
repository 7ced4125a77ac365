"""A run goes on to the first step that the Makefile has; without `restart` it stops and starts."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from appagent.model.words import Outcome, Target
from tests import running
from tests.running import Runs, World, alive, becomes, later

NOTE = "\t@echo $@ $$APP_TARGET >>calls\n"
WHOLE = later("install", "restart", "check")


@pytest.fixture
def world() -> Iterator[World]:
    with running.world() as made:
        yield made


def noting(*targets: str) -> str:
    """A Makefile whose targets note what make was called with, and what they were told."""
    return "".join(f".PHONY: {target}\n{target}:\n{NOTE}" for target in targets)


def calls(app: Path) -> list[str]:
    path = app / "calls"
    return path.read_text().splitlines() if path.exists() else []


# --- the first step that is there ----------------------------------------------------------------


def test_the_run_that_finds_its_target_missing_goes_on_with_the_next_one(world: World) -> None:
    app = world.app(noting("install", "restart", "check"))

    async def scene(agent: Runs) -> None:
        ended = await agent.whole(world.plan("build", then=WHOLE))
        assert (ended.outcome, ended.step) == (Outcome.OK, Target.INSTALL)
        assert ended.calls == (Target.INSTALL,)
        assert [(found.step, found.calls) for found in agent.found] == [
            (Target.INSTALL, (Target.INSTALL,))
        ]

    world.play(scene)
    assert calls(app) == ["install install"]


def test_a_step_that_is_there_ends_the_run_whatever_follows(world: World) -> None:
    app = world.app(noting("build", "install", "restart", "check"))
    ended = world.run("build", then=WHOLE)
    assert (ended.outcome, ended.step) == (Outcome.OK, Target.BUILD)
    assert calls(app) == ["build build"]


def test_more_than_one_may_be_missing(world: World) -> None:
    app = world.app(noting("restart"))
    ended = world.run("build", then=WHOLE)
    assert (ended.outcome, ended.step) == (Outcome.OK, Target.RESTART)
    assert calls(app) == ["restart restart"]


def test_where_all_are_missing_nothing_runs(world: World) -> None:
    app = world.app(noting("stop"))
    ended = world.run("build", then=WHOLE)
    assert (ended.outcome, ended.step) == (Outcome.MISSING, Target.CHECK)
    assert ended.calls == ()
    assert calls(app) == []


def test_one_that_fails_is_told_by_its_name(world: World) -> None:
    world.app("install:\n\t@echo no such gem; exit 1\n")
    ended = world.run("build", then=WHOLE)
    assert (ended.outcome, ended.step) == (Outcome.FAILED, Target.INSTALL)
    assert "no such gem" in ended.line


def test_each_step_has_its_own_time(world: World) -> None:
    world.app("install:\n\t@sleep 600\n")
    ended = world.run("build", timeout=600.0, then=later("install", timeout=0.3))
    assert (ended.outcome, ended.step) == (Outcome.TIMEOUT, Target.INSTALL)
    assert ended.line.startswith("install did not finish within 300ms")


def test_a_check_that_a_run_has_come_to_is_tried_again(world: World) -> None:
    world.app("check:\n\t@echo $$APP_TARGET >>calls; test -e up || { touch up; exit 1; }\n")
    ended = world.run("restart", then=later("check"))
    assert (ended.outcome, ended.step) == (Outcome.OK, Target.CHECK)
    assert calls(world.root / "web") == ["check", "check"]


def test_an_install_that_a_run_has_come_to_can_be_ended(world: World) -> None:
    app = world.app("install:\n\t@touch begun; sleep 600\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("build", then=WHOLE)
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        agent.spawner.end(run.id, "a newer release")
        assert (await agent.ended()).outcome is Outcome.CANCELLED

    world.play(scene)


def test_a_restart_that_a_run_has_come_to_is_not_ended_any_more(world: World) -> None:
    """Who ends it means the build that it was begun for; a begun restart always finishes."""
    app = world.app("restart:\n\t@touch begun; until [ -e go ]; do sleep .02; done\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("build", then=WHOLE)
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        agent.spawner.end(run.id, "a newer release")
        (app / "go").touch()
        ended = await agent.ended()
        assert (ended.outcome, ended.step) == (Outcome.OK, Target.RESTART)

    world.play(scene)


def test_an_agent_that_was_not_there_learns_the_step_from_the_end(world: World) -> None:
    app = world.app("install:\n\t@touch begun; until [ -e go ]; do sleep .02; done\n")
    run = world.plan("build", then=WHOLE)

    async def first(agent: Runs) -> None:
        nonlocal run
        identity = await agent.begin(run)
        run = world.plan("build", then=WHOLE, id=run.id, identity=identity)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)

    async def second(agent: Runs) -> None:
        agent.spawner.adopt(run)
        (app / "go").touch()
        ended = await agent.ended()
        assert (ended.outcome, ended.step) == (Outcome.OK, Target.INSTALL)
        assert agent.found == []

    world.play(first)
    world.play(second)


# --- start and restart ---------------------------------------------------------------------------

DAEMON = """\
start:
\t@echo start >>calls; setsid sleep 600 & echo $$! >pid
stop:
\t@echo stop >>calls; exit $$(cat fails 2>/dev/null || echo 0)
"""


def test_without_a_start_it_is_restarted(world: World) -> None:
    app = world.app(noting("restart"))
    ended = world.run("start")
    assert (ended.outcome, ended.step) == (Outcome.OK, Target.START)
    assert ended.calls == (Target.RESTART,)
    assert calls(app) == ["restart restart"]


def test_without_a_restart_it_is_stopped_and_started_in_one_run(world: World) -> None:
    """What its stop leaves is ended in between, as it is by every stop."""
    app = world.app(DAEMON)
    assert world.run("start").leaves
    old = int((app / "pid").read_text())
    ended = world.run("restart")
    assert (ended.outcome, ended.step, ended.stopped) == (Outcome.OK, Target.RESTART, True)
    assert ended.calls == (Target.STOP, Target.START)
    assert ended.leaves
    assert calls(app) == ["start", "stop", "start"]
    assert not alive(old)
    assert alive(int((app / "pid").read_text()))
    assert "killed 1 leftover process after stop" in ended.warnings[0]


def test_without_a_stop_either_what_runs_is_ended_and_it_is_started(world: World) -> None:
    app = world.app(DAEMON.partition("stop:")[0])
    world.run("start")
    old = int((app / "pid").read_text())
    ended = world.run("restart")
    assert (ended.outcome, ended.stopped) == (Outcome.OK, True)
    assert calls(app) == ["start", "start"]
    assert not alive(old)


def test_with_neither_start_nor_restart_nothing_is_stopped(world: World) -> None:
    app = world.app(noting("stop"))
    assert world.run("restart").outcome is Outcome.MISSING
    assert calls(app) == []


def test_a_stop_that_fails_is_not_followed_by_a_start_and_says_that_it_was_it(world: World) -> None:
    app = world.app(DAEMON)
    (app / "fails").write_text("3")
    ended = world.run("restart")
    assert (ended.outcome, ended.stopped) == (Outcome.FAILED, False)
    assert ended.line.startswith("make stop: exit 2")
    assert calls(app) == ["stop"]


def test_a_start_that_fails_after_the_stop_says_that_it_is_down(world: World) -> None:
    world.app(DAEMON.replace("start:\n\t@", "start:\n\t@exit 5; "))
    ended = world.run("restart")
    assert (ended.outcome, ended.stopped) == (Outcome.FAILED, True)
    assert ended.line.startswith("make start: exit 2")


def test_both_halves_have_one_deadline(world: World) -> None:
    world.app("stop:\n\t@sleep .3\nstart:\n\t@sleep 600\n")
    ended = world.run("restart", timeout=1.0, grace=0.2)
    assert (ended.outcome, ended.stopped) == (Outcome.TIMEOUT, True)
    assert ended.seconds < 30.0


def test_an_agent_that_ends_between_the_stop_and_the_start_leaves_no_app_down(
    world: World,
) -> None:
    app = world.app(
        "stop:\n\t@touch begun; until [ -e go ]; do sleep .02; done\nstart:\n\t@touch started\n"
    )

    async def scene(agent: Runs) -> None:
        run = world.plan("restart")
        await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)

    async def nobody(_: Runs) -> None:
        (app / "go").touch()
        await becomes((app / "started").exists)

    world.play(scene)
    world.play(nobody)


def test_a_shim_that_is_killed_between_the_two_is_lost(world: World) -> None:
    app = world.app("stop:\n\t@touch begun; sleep 600\nstart:\n\t@touch started\n")

    async def scene(agent: Runs) -> None:
        run = world.plan("restart")
        identity = await agent.begin(run)
        agent.spawner.proceed(run.id)
        await becomes((app / "begun").exists)
        os.kill(identity.pid, signal.SIGKILL)
        ended = await agent.ended()
        assert (ended.outcome, ended.step) == (Outcome.LOST, None)

    world.play(scene)
    assert not (app / "started").exists()
