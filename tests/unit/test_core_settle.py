"""When a tree counts as complete, and what becomes of one that never rests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, pairwise

import pytest

from appagent.core.settle import ignore_lines
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import HOUR, Play, deployed, steps


def writer(play: Play, times: int = 10**9) -> Callable[[], None]:
    """Something that writes into the tree, each time another thing, so many times."""
    numbers = count(1)

    def write() -> None:
        number = next(numbers)
        if number <= times:
            play.push("web", f"w{number}", changing=("cache/a", "cache/b"))

    return write


def begun(play: Play, seconds: float) -> list[float]:
    """When deploys began in this time."""
    since = len(play.reported)
    play.after(seconds)
    return [notice.at.mono for notice in play.reported[since:] if notice.kind == "deploy.began"]


def churn(play: Play, seconds: float, every: float = 0.1) -> None:
    """The tree changes all the time."""
    end, write = play.mono + seconds, writer(play)
    while play.mono < end:
        write()
        play.until(min(end, play.mono + every))


# --- never complete ------------------------------------------------------------------------------


def test_a_tree_that_changes_all_the_time_is_waited_for_and_that_is_said_once() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0, max_wait=5.0)
    churn(play, 20.0)
    assert play.ran() == []
    assert play.notices("app.waiting") == ["app.waiting"]
    assert "cache/a" in play.text("app.waiting")
    assert 'ignore: ["/cache/"]' in play.text("app.waiting")
    assert play.word() == "settling"
    play.push("web", "last")
    assert play.rest() == steps("last", "install", "restart", "check")


def test_a_tree_that_changes_all_the_time_is_deployed_now_and_then_if_that_is_wished() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0, max_wait=5.0, unsettled="deploy")
    churn(play, 20.0)
    installs = [run for run in play.shims.log if run.startswith("install")]
    assert 1 <= len(installs) <= 4
    assert play.notices("app.waiting") == ["app.waiting"]
    play.ran()
    play.push("web", "last")
    assert play.rest()[-3:] == steps("last", "install", "restart", "check")


def test_a_new_app_that_never_rests_is_deployed_if_that_is_wished() -> None:
    play = Play(settle=1.0, max_wait=5.0, unsettled="deploy")
    play.push("web", "r1", Layout.TREE)
    churn(play, 8.0)
    assert [run.split()[0] for run in play.ran()] == ["install", "start", "check"]


@pytest.mark.parametrize("unsettled", ["wait", "deploy"])
def test_what_says_that_it_is_half_written_is_never_deployed_but_said(unsettled: str) -> None:
    play = deployed(layout=Layout.TREE, max_wait=5.0, unsettled=unsettled)
    play.push("web", "r2", incomplete=".deploying")
    assert play.after(100.0) == []
    assert play.notices("app.waiting") == ["app.waiting"]
    assert ".deploying" in play.text("app.waiting")
    play.push("web", "r2", incomplete="")
    assert play.after(1.0) == []
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.GIT])
def test_a_step_that_is_skipped_is_no_reason_to_begin_with_what_is_half_there(
    layout: Layout,
) -> None:
    play = deployed(layout=layout, settle=5.0)
    play.push("web", "r2")
    play.trigger("web", "build")  # which its Makefile is known to lack
    assert play.after(1.0) == []
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("layout", [Layout.TREE, Layout.GIT])
def test_what_comes_back_while_it_is_stopped_is_started_when_it_is_whole(layout: Layout) -> None:
    play = deployed(layout=layout, settle=5.0)
    play.remove("web")
    play.forget("web")
    play.push("web", "r2", layout)
    assert play.after(3.0) == ["stop web r1"]
    assert play.rest() == steps("r2", "install", "start", "check")


def test_rest_ends_the_wait_and_the_next_one_is_said_again() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0, max_wait=5.0)
    churn(play, 10.0)
    play.rest()
    churn(play, 10.0)
    assert play.notices("app.waiting") == ["app.waiting"] * 2


# --- a tree that is written by the app itself -----------------------------------------------------


def test_an_install_that_writes_into_its_own_tree_still_gets_its_restart() -> None:
    play = Play()
    play.will("web", "install", then=writer(play))
    play.push("web", "r1", Layout.TREE)
    ran = play.after(2.0 + 3 * 0.6)
    assert [run.split()[0] for run in ran] == ["install", "start", "check"]


def test_an_install_that_writes_once_comes_to_rest_after_two_deploys() -> None:
    play = deployed(layout=Layout.TREE)
    play.always("web", "install", then=writer(play, times=1))
    play.push("web", "r2")
    assert play.rest() == [
        *steps("r2", "install", "restart", "check"),
        *steps("w1", "install", "restart", "check"),
    ]


@pytest.mark.parametrize("times", [1, 2])
def test_a_long_install_that_writes_and_goes_on_comes_to_rest_too(times: int) -> None:
    play = deployed(layout=Layout.TREE)
    play.always("web", "install", seconds=30.0, after=5.0, then=writer(play, times=times))
    play.push("web", "r2")
    ran = play.rest()
    assert ran[-3:] == steps(f"w{times}", "install", "restart", "check")
    assert len([run for run in ran if run.startswith("install")]) <= times + 1


def test_a_long_install_that_writes_each_time_still_gets_its_restart() -> None:
    play = deployed(layout=Layout.TREE)
    play.always("web", "install", seconds=30.0, after=5.0, then=writer(play))
    play.push("web", "r2")
    targets = [run.split()[0] for run in play.after(200.0)]
    assert "restart" in targets
    assert "check" in targets


def test_a_hanging_install_of_a_tree_is_ended_by_a_newer_release() -> None:
    play = deployed(layout=Layout.TREE)
    play.will("web", "install", seconds=500.0)
    play.push("web", "r2")
    play.after(30.0)
    play.push("web", "r3")
    assert play.after(30.0) == steps("r3", "install", "restart", "check")
    play.will("web", "install", seconds=500.0)
    play.push("web", "r4")
    play.after(60.0)
    play.push("web", "r5")
    assert play.after(60.0)[-3:] == steps("r5", "install", "restart", "check")


def test_a_tree_that_deploys_again_and_again_waits_longer_each_time() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0)
    play.after(HOUR)
    write = writer(play)
    play.always("web", "restart", then=write)
    write()
    times = begun(play, 12 * HOUR)
    gaps = [round(b - a, 3) for a, b in pairwise(times)]
    assert all(gap < 10.0 for gap in gaps[:5])
    assert gaps[5:] == sorted(gaps[5:])
    assert gaps[5] >= 10.0
    assert 3600.0 <= gaps[-1] <= 3610.0
    assert "cache/a" in play.text("app.churning")
    assert 'ignore: ["/cache/"]' in play.text("app.churning")
    assert "appagent trigger web" in play.text("app.churning")


def test_the_first_deploy_and_six_edits_of_a_tree_wait_for_nothing() -> None:
    play = Play(settle=1.0)
    for release in ("r0", "e1", "e2", "e3", "e4", "e5", "e6"):
        play.push("web", release, Layout.TREE)
        assert play.after(10.0)[-1:] == steps(release, "check")


def test_who_waits_for_a_tree_is_told_how_long_and_which_files_change() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0)
    for number in range(7):
        play.push("web", f"e{number}", changing=("data/sessions.db",))
        ran = play.after(5.0)
    assert ran == []
    assert (play.word(), play.view().reached) == ("pending", None)
    first = play.view().why
    assert "deployed 6 times lately" in first
    assert "data/sessions.db" in first
    assert "appagent trigger web" in first
    play.after(1.0)
    assert play.view().why != first  # the rest of the wait


def test_a_trigger_clears_the_wait_of_a_tree_that_deploys_too_often() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0)
    write = writer(play)
    play.always("web", "restart", then=write)
    write()
    play.after(HOUR)
    assert play.word() == "pending"
    play.always("web", "restart")
    assert play.trigger("web") == 0
    assert [run.split()[0] for run in play.after(10.0)] == ["install", "restart", "check"]
    assert play.word() == "ok"


def test_a_tree_that_came_to_rest_is_deployed_at_once_again() -> None:
    play = deployed(layout=Layout.TREE, settle=1.0)
    write = writer(play, times=8)
    play.always("web", "restart", then=write)
    write()
    play.rest(10 * HOUR)
    play.after(3 * HOUR)
    play.push("web", "r9")
    assert play.after(5.0) == steps("r9", "install", "restart", "check")


def test_what_people_deploy_often_is_not_slowed_in_other_layouts() -> None:
    play = deployed()
    for n in range(20):
        play.push("web", f"n{n}")
        assert play.after(5.0) == steps(f"n{n}", "install", "restart", "check")


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.LOST])
def test_an_install_that_writes_and_fails_does_not_loop_without_a_pause(outcome: Outcome) -> None:
    play = deployed(layout=Layout.TREE, settle=1.0)
    play.always("web", "install", outcome, then=writer(play))
    play.push("web", "r2")
    assert len(play.times_of("install", 600.0)) < 30


def test_the_ignore_lines_that_are_proposed_are_few() -> None:
    assert ignore_lines(["a/x", "a/y", "b", "c/z"]) == ("/a/", "/b", "/c/z")
    assert ignore_lines(["one", "two", "three", "four"]) == ("/one", "/two", "/three")
    assert ignore_lines([]) == ()


# --- ids of another kind --------------------------------------------------------------------------


def test_changed_ignore_lines_over_unchanged_files_deploy_nothing() -> None:
    play = deployed(layout=Layout.TREE)
    play.configure(ignore=("cache/",))
    assert play.rest() == []
    assert play.notices("app.rerecorded") == ["app.rerecorded"]
    assert play.word() == "ok"
    assert play.app().record.applied.installed == play.app().seen.settled
    assert play.app().record.ignore == ("cache/",)
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_changed_ignore_lines_with_changed_files_are_a_deploy() -> None:
    play = deployed(layout=Layout.TREE)
    play.crash()
    play.push("web", "r2")
    play.configure(ignore=("cache/",))
    play.start_agent()
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_changed_ignore_lines_do_not_bring_back_what_failed() -> None:
    play = deployed(layout=Layout.TREE)
    play.will("web", "restart", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    play.configure(ignore=("cache/",))
    assert play.rest() == []
    assert play.word() == "failed"


def test_changed_ignore_lines_during_a_restart_do_not_repeat_it() -> None:
    play = deployed(layout=Layout.TREE)
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    play.configure(ignore=("cache/",))
    assert play.rest() == steps("r2", "check")
    assert play.word() == "ok"


@pytest.mark.parametrize("settle", [0.0, 1.0])
def test_ignore_lines_of_an_apps_own_outlive_a_restart_of_the_agent(settle: float) -> None:
    play = deployed(layout=Layout.TREE, settle=settle)
    play.push("web", "r2", own={"ignore": ("cache/",)})
    assert play.rest() == steps("r2", "install", "restart", "check")
    play.crash()
    play.start_agent()
    assert play.rest() == []
    assert play.notices("app.rerecorded") == []
    assert play.app().record.ignore == ("cache/",)


def test_ignore_lines_that_a_release_brings_itself_come_with_one_deploy() -> None:
    play = deployed(layout=Layout.TREE)
    play.push("web", "r2", own={"ignore": ("cache/",)})
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.word() == "ok"
