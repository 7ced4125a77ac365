"""Who begins when: places, crashes in between, and the order of what is told."""

from __future__ import annotations

import pytest

from appagent.core import reduce as core
from appagent.model.events import Configured, Stopping
from appagent.model.settings import Settings
from appagent.model.words import Event, Layout, Outcome, Target
from tests.unit.core_play import Play, deployed, steps

# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize("places", [1, 2, 5])
def test_no_more_apps_than_allowed_deploy_at_once_and_all_do_in_the_end(places: int) -> None:
    play = Play(parallel_apps=places)
    for n in range(8):
        play.push(f"app{n}", "r1")
    most = 0
    while play.next_time() < float("inf"):
        play.happen()
        most = max(most, len(play.node.busy()))
    assert most == places
    assert all(play.word(f"app{n}") == "ok" for n in range(8))


def test_an_app_comes_to_its_end_before_another_begins_in_its_place() -> None:
    play = Play(parallel_apps=1)
    for app in ("a", "b", "c"):
        play.push(app, "r1")
    assert [run.split()[1] for run in play.rest()] == list("aaabbbccc")


def test_those_who_wait_longest_are_next() -> None:
    play = Play(parallel_apps=1)
    for app in ("z", "m", "a"):
        play.push(app, "r1")
    assert [run.split()[1] for run in play.rest()] == list("zzzmmmaaa")


def test_an_app_that_changes_all_the_time_does_not_keep_others_out() -> None:
    play = Play(parallel_apps=1)
    for app in ("a", "b", "c"):
        play.push(app, "r0")
    play.rest()
    numbers = iter(range(1, 1000))
    play.always("a", "check", then=lambda: play.push("a", f"r{next(numbers)}"))
    play.push("a", "again")
    play.after(1.0)
    play.push("b", "r2")
    play.push("c", "r2")
    ran = play.after(10.0)
    assert {"check b r2", "check c r2"} <= set(ran)


def test_an_app_that_is_always_failing_does_not_keep_others_out() -> None:
    play = Play(parallel_apps=1, retry_first=0.1, retry_max=0.1)
    play.always("a", "install", Outcome.FAILED)
    play.push("a", "r1")
    play.push("b", "r1")
    assert {"check b r1"} <= set(play.after(10.0))


def test_who_waits_for_a_place_is_told_who_holds_them() -> None:
    play = Play(parallel_apps=2)
    for app in ("a", "c"):
        play.will(app, "install", seconds=100.0)
        play.push(app, "r1")
    play.push("b", "r1")
    play.after(10.0)
    assert play.word("b") == "pending"
    assert play.view("b").why == "2 other apps are deploying: a, c (parallel_apps)"


def test_checks_that_hang_keep_nobody_out() -> None:
    play = Play(parallel_apps=2)
    for app in ("a", "b", "c"):
        play.will(app, "check", seconds=1000.0)
        play.push(app, "r1")
    play.after(10.0)
    assert [play.view(app).plan for app in ("a", "b", "c")] == [(Target.CHECK,)] * 3
    play.push("d", "r1")
    assert play.after(10.0)[-3:] == steps("r1", "install", "start", "check", app="d")


def test_a_run_that_has_come_to_its_check_keeps_nobody_out() -> None:
    play = Play(parallel_apps=1)
    play.makefile("check")
    play.always("a", "check", seconds=20.0)
    play.push("a", "r1")
    play.push("b", "r1")
    assert play.after(10.0) == ["check a r1", "check b r1"]


def test_a_check_begins_while_all_places_are_taken() -> None:
    play = Play(parallel_apps=1)
    play.push("a", "r1")
    play.rest()
    play.will("b", "install", seconds=1000.0)
    play.push("b", "r1")
    play.after(10.0)
    play.trigger("a", "check")
    assert play.after(10.0) == ["check a r1"]


def test_more_places_are_used_at_once() -> None:
    play = Play(parallel_apps=1)
    play.will("a", "install", seconds=100.0)
    play.push("a", "r1")
    play.push("b", "r1")
    play.after(10.0)
    play.configure(parallel_apps=2)
    assert (
        play.after(10.0)
        == ["install a r1", *steps("r1", "install", "start", "check", app="b")][-3:]
    )


# --- the end of the agent ------------------------------------------------------------------------


def test_an_agent_that_ends_begins_nothing_more() -> None:
    play = deployed()
    play.feed(Stopping())
    play.push("web", "r2")
    assert play.rest() == []


@pytest.mark.parametrize("layout", [Layout.SYMLINK, Layout.TREE])
def test_a_crash_between_any_two_commands_repeats_and_loses_nothing(layout: Layout) -> None:
    for commands in range(60):
        play = deployed(layout=layout)
        play.crash_in = commands
        play.push("web", "r2")
        play.rest()
        if not play.alive:
            play.start_agent()
            play.rest()
        assert play.app().record.applied.healthy == play.view().want.version, commands
        assert play.word() == "ok", commands


def test_each_step_runs_once_over_a_crash_between_any_two_commands() -> None:
    for commands in range(60):
        play = deployed()
        play.crash_in = commands
        play.push("web", "r2")
        ran = play.rest()
        if not play.alive:
            play.start_agent()
            ran += play.rest()
        assert ran == steps("r2", "install", "restart", "check"), commands


def test_a_shim_that_waits_when_the_agent_dies_has_run_nothing() -> None:
    play = deployed()
    play.shims.slow = 5.0
    play.push("web", "r2")
    play.after(2.0)
    play.restart()
    assert play.rest() == steps("r2", "install", "restart", "check")


# --- what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(Layout))
def test_notices_come_in_the_order_in_which_things_happen(layout: Layout) -> None:
    play = deployed(layout=layout)
    before = len(play.reported)
    play.push("web", "r2")
    play.rest()
    told = play.reported[before:]
    assert [notice.kind for notice in told] == [
        "deploy.seen",
        "deploy.settled",
        "deploy.began",
        *["run.began", "run.ended"] * 3,  # none for a build, that no Makefile here has
        "deploy.done",
    ]
    assert len({notice.fields["deploy_id"] for notice in told}) == 1
    assert all(notice.app == "web" for notice in told)
    times = [notice.at.mono for notice in told]
    assert times == sorted(times)


def test_a_deploy_says_how_long_each_part_took() -> None:
    play = deployed(layout=Layout.TREE, settle=2.0)
    play.always("web", "install", seconds=7.0)
    play.push("web", "r2")
    play.rest()
    done = next(notice for notice in reversed(play.reported) if notice.kind == "deploy.done")
    assert done.fields["settled_ms"] == 2000
    assert int(done.fields["run_ms"]) >= 7000
    assert int(done.fields["duration_ms"]) >= 9000
    assert "r1" in str(done.fields["previous"])


def test_a_deploy_that_is_overtaken_is_told_so() -> None:
    play = deployed()
    play.will("web", "install", seconds=100.0)
    play.push("web", "r2")
    play.after(10.0)
    play.push("web", "r3")
    play.rest()
    assert play.notices("deploy.superseded") == ["deploy.superseded"]
    assert len(play.notices("deploy.done")) == 2


def test_nothing_is_told_while_nothing_happens() -> None:
    play = deployed()
    before = len(play.reported)
    play.restart()
    play.after(1000.0)
    for _ in range(5):
        play.watcher.push_all()
    play.feed(Configured(play.settings))
    play.rest()
    assert play.reported[before:] == []


def test_an_empty_configuration_does_nothing() -> None:
    node = core.first(Settings(), "boot", {})
    assert core.next_wake(node, Play().now()) == float("inf")


@pytest.mark.parametrize("moment", [0.0, 2.0])
def test_a_trigger_during_a_run_is_done_after_it_even_if_the_agent_dies_over_it(
    moment: float,
) -> None:
    play = deployed()
    play.will("web", "restart", seconds=10.0)
    play.push("web", "r2")
    assert play.after(2.0) == ["install web r2", "restart web r2"]
    assert play.trigger("web", "restart") == 0
    play.after(moment)
    play.restart()
    assert play.rest() == ["restart web r2", "check web r2"]


# --- the clock -----------------------------------------------------------------------------------


def test_the_clocks_of_a_play_go_on_together_however_small_the_steps() -> None:
    play = Play()
    mono, wall = play.now().mono, play.now().wall
    for _ in range(100_000):
        play.turn_to(play.mono + 1e-7)
    assert play.now().wall - wall == pytest.approx(play.now().mono - mono, rel=1e-3)


def test_every_event_has_a_handler() -> None:
    named = {event.__name__ for event in Event.__subclasses__()}
    assert named == {event.__name__ for event in core.HANDLERS}
