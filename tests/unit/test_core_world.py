"""Several nodes in one world: one share for all, one time, and trouble that stays where it is."""

from __future__ import annotations

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import SECOND, Play, World

FIRST_DEPLOY = ["install web r1", "start web r1", "check web r1"]
NEXT_DEPLOY = ["install web r2", "restart web r2", "check web r2"]


def nodes(
    count: int, release: str = "", layout: Layout = Layout.SYMLINK
) -> tuple[World, list[Play]]:
    """A world with so many nodes; with a release, each of them runs it."""
    world = World()
    plays = [Play(world) for _ in range(count)]
    if release:
        world.push("web", release, layout)
        world.rest()
        for play in plays:
            play.ran()
    return world, plays


@pytest.mark.parametrize("layout", list(Layout))
def test_a_push_reaches_every_node(layout: Layout) -> None:
    world, plays = nodes(3)
    world.push("web", "r1", layout)
    world.rest()
    assert [play.ran() for play in plays] == [FIRST_DEPLOY] * 3
    world.push("web", "r2")
    world.rest()
    assert [play.ran() for play in plays] == [NEXT_DEPLOY] * 3
    world.remove("web")
    world.rest()
    assert [play.ran() for play in plays] == [["stop web r2"]] * 3


def test_one_clock_drives_all_nodes() -> None:
    world, (slow, quick) = nodes(2, "r1")
    slow.will("web", "restart", seconds=20.0)
    began = world.mono
    world.push("web", "r2")
    world.after(10.0)
    assert [slow.word(), quick.word()] == ["deploying", "ok"]
    world.after(15.0)
    assert [slow.word(), quick.word()] == ["ok", "ok"]
    assert world.mono == pytest.approx(began + 25.0, abs=0.01)
    assert [slow.now().wall, quick.now().wall] == pytest.approx([world.now().wall] * 2, abs=1e-4)


def test_what_is_to_happen_in_the_world_happens_in_its_time() -> None:
    world, (one, two) = nodes(2, "r1")
    world.at(world.mono + 30.0, lambda: world.push("web", "r2"))
    world.after(29.0)
    assert one.ran() == two.ran() == []
    world.after(10.0)
    assert one.ran() == two.ran() == NEXT_DEPLOY


def test_the_crash_of_one_agent_leaves_the_others_alone() -> None:
    world, (crashed, other) = nodes(2, "r1")
    crashed.crash()
    world.push("web", "r2")
    world.rest()
    assert not crashed.alive
    assert crashed.ran() == []
    assert other.ran() == NEXT_DEPLOY
    crashed.start_agent()
    world.rest()
    assert crashed.ran() == NEXT_DEPLOY
    assert other.ran() == []


@pytest.mark.parametrize("commands", range(12))
def test_an_agent_that_dies_in_a_deploy_disturbs_no_other_node(commands: int) -> None:
    world, (dying, other) = nodes(2, "r1")
    dying.crash_in = commands
    world.push("web", "r2")
    world.rest()
    assert other.ran() == NEXT_DEPLOY
    if not dying.alive:
        dying.start_agent()
    world.rest()
    assert [dying.word(), other.word()] == ["ok", "ok"]
    assert other.ran() == []


def test_a_node_that_boots_deploys_what_came_meanwhile_while_the_others_go_on() -> None:
    world, (booted, other) = nodes(2, "r1")
    world.at(world.mono + 10.0, lambda: world.push("web", "r2"))
    booted.reboot(down=60.0)
    assert other.ran() == NEXT_DEPLOY
    assert booted.mono < 60.0 < other.mono
    assert booted.now().wall == pytest.approx(other.now().wall, abs=1e-4)
    world.rest()
    assert booted.ran() == ["install web r2", "start web r2", "check web r2"]
    assert other.ran() == []


def test_a_watcher_that_hangs_blinds_its_own_node_only() -> None:
    world, (blind, other) = nodes(2, "r1")
    blind.watcher.hang()
    world.push("web", "r2")
    world.rest()
    assert [blind.word(), other.word()] == ["unknown", "ok"]
    assert (blind.ran(), other.ran()) == ([], NEXT_DEPLOY)
    blind.watcher.come_back()
    world.rest()
    assert (blind.ran(), other.ran()) == (NEXT_DEPLOY, [])


def test_a_check_that_fails_on_one_node_takes_that_node_back_only() -> None:
    world, (failing, other) = nodes(2, "r1")
    failing.will("web", "check", Outcome.FAILED)
    world.push("web", "r2")
    world.rest()
    assert [failing.word(), other.word()] == ["rolled-back", "ok"]
    assert other.ran() == NEXT_DEPLOY


def test_a_node_sees_the_roots_of_its_own_configuration_only() -> None:
    world = World()
    both = Play(world, roots=(RootSettings("/files/production"), RootSettings(SECOND)))
    one = Play(world)
    world.push("web", "r1", root=SECOND)
    world.rest()
    assert (both.ran(), one.ran()) == (FIRST_DEPLOY, [])
    assert not one.node.apps
