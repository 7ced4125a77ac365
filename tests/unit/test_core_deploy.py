"""What the core does with a change on the share, as stories."""

from __future__ import annotations

from itertools import pairwise

import pytest

from appagent.model.words import Layout, Outcome, Target
from tests.unit.core_play import Play, deployed, steps

LAYOUTS = [pytest.param(layout, id=layout.value) for layout in Layout]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_new_app_is_installed_started_and_checked(layout: Layout) -> None:
    play = Play()
    play.push("web", "r1", layout)
    assert play.rest() == steps("r1", "install", "start", "check")
    assert play.word() == "ok"
    assert play.view().reached is True


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_change_is_installed_and_restarted(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_revert_is_a_change_like_any_other(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.push("web", "r2")
    play.rest()
    play.push("web", "r1")
    assert play.rest() == steps("r1", "install", "restart", "check")


@pytest.mark.parametrize("layout", [Layout.GIT, Layout.TREE])
def test_files_that_change_are_left_alone_until_they_stood(layout: Layout) -> None:
    play = deployed(layout=layout, settle=2.0)
    for n in range(10):
        play.push("web", f"half-{n}")
        assert play.after(1.0) == []
    play.push("web", "r2")
    assert play.after(1.9) == []
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_says_that_it_is_half_written_is_waited_for(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.push("web", "r2", incomplete=".deploying")
    assert play.after(60.0) == []
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_mark_that_was_left_behind_keeps_nothing_down_after_a_boot(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.push("web", "r1", incomplete=".deploying")
    assert play.rest() == []
    play.reboot()
    assert play.rest() == steps("r1", "start", "check")
    play.push("web", "r2", incomplete=".deploying")
    assert play.rest() == []


def test_a_change_that_is_taken_back_before_it_was_complete_runs_nothing() -> None:
    play = deployed(layout=Layout.TREE)
    play.push("web", "r2")
    play.after(0.5)
    play.push("web", "r1")
    assert play.rest() == []
    assert play.notices("deploy.")[-1] == "deploy.void"


def test_another_app_is_not_disturbed() -> None:
    play = deployed()
    play.push("shop", "s1")
    assert play.rest() == steps("s1", "install", "start", "check", app="shop")
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_a_build_comes_before_the_install_and_only_once_for_a_release() -> None:
    play = Play()
    play.makefile("build", "install", "start", "restart", "check")
    play.push("web", "r1")
    assert play.rest() == steps("r1", "build", "install", "start", "check")
    play.push("web", "r2")
    assert play.rest() == steps("r2", "build", "install", "restart", "check")
    play.push("web", "r1")
    assert play.rest() == steps("r1", "install", "restart", "check")


# --- changes during a run ------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("changes", [1, 50])
def test_changes_during_a_long_restart_lead_to_one_more_deploy(
    layout: Layout, changes: int
) -> None:
    play = deployed(layout=layout)
    play.always("web", "restart", seconds=30.0)
    play.push("web", "r2")
    while "restart" not in "".join(play.shims.log):
        play.happen()
    for n in range(changes):
        play.push("web", f"n{n}")
        play.after(20.0 / changes)
    assert [run for run in play.rest() if not run.startswith("check web r2")] == steps(
        f"n{changes - 1}", "install", "restart", "check"
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("target", ["build", "install"])
def test_a_newer_release_ends_a_running_build_or_install(layout: Layout, target: str) -> None:
    play = deployed(layout=layout)
    play.shims.targets.add(Target.BUILD)
    play.will("web", target, Outcome.OK, seconds=500.0)
    play.push("web", "hangs")
    play.after(20.0)
    play.push("web", "r2")
    assert play.after(30.0)[-4:] == steps("r2", "build", "install", "restart", "check")


@pytest.mark.parametrize("target", ["start", "restart", "check"])
def test_a_newer_release_ends_nothing_else(target: str) -> None:
    play = Play() if target == "start" else deployed()
    play.will("web", target, seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    play.push("web", "r3")
    ran = play.rest()
    assert ran[-3:] == steps("r3", "install", "restart", "check")
    assert "run.cancelled" not in play.notices()


def test_a_revert_during_an_install_ends_it_and_installs_what_was() -> None:
    play = deployed()
    play.will("web", "install", seconds=100.0)
    play.push("web", "r2")
    play.after(10.0)
    play.push("web", "r1")
    assert play.after(10.0) == steps("r1", "install", "restart", "check")


# --- removal -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_removed_app_is_stopped_after_a_while_and_forgotten(layout: Layout) -> None:
    play = deployed(layout=layout, gone_after=60.0)
    play.remove("web")
    assert play.after(59.0) == []
    assert play.rest() == ["stop web r1"]
    assert play.disk == {}
    assert "web" not in play.node.apps
    assert play.shims.running == {}


def test_an_app_that_is_back_in_time_is_not_touched() -> None:
    play = deployed(gone_after=60.0)
    play.remove("web")
    play.after(50.0)
    play.push("web", "r1")
    assert play.rest() == []


def test_an_app_that_returns_later_is_a_new_one() -> None:
    play = deployed()
    play.remove("web")
    play.rest()
    play.push("web", "r1")
    assert play.rest() == steps("r1", "install", "start", "check")


def test_an_app_that_returns_while_it_is_stopped_is_started() -> None:
    play = deployed()
    play.will("web", "stop", seconds=20.0)
    play.remove("web")
    play.after(70.0)
    play.push("web", "r1")
    assert play.rest()[-2:] == steps("r1", "start", "check")


def test_removal_ends_a_running_install_and_stops_what_ran() -> None:
    play = deployed()
    play.will("web", "install", seconds=400.0)
    play.push("web", "r2")
    play.after(5.0)
    play.remove("web")
    play.rest()
    assert play.shims.running == {}
    assert play.disk == {}


def test_a_removed_app_that_was_never_started_is_only_forgotten() -> None:
    play = Play()
    play.always("web", "install", Outcome.FAILED)
    play.push("web", "r1")
    play.after(10.0)
    play.remove("web")
    assert "stop web r1" not in play.rest()
    assert play.disk == {}


def test_a_stop_that_fails_is_tried_again_later_each_time() -> None:
    play = deployed(retry_first=2.0, retry_max=20.0)
    play.will("web", "stop", *[Outcome.FAILED] * 6)
    play.remove("web")
    times = play.times_of("stop", 300.0)
    gaps = [b - a for a, b in pairwise(times)]
    assert len(times) == 7
    assert gaps == sorted(gaps)
    assert gaps[0] >= 2.0
    assert gaps[-1] >= 20.0
    assert play.disk == {}


def test_what_one_run_found_missing_is_asked_for_no_more() -> None:
    play = deployed()
    play.makefile("build", "install", "start", "restart")
    play.push("web", "r2")
    assert play.rest() == ["build web r2", "install web r2", "restart web r2"]
    assert [what for _, what in play.shims.gone].count("check web") == 1  # that of r1
    assert play.word() == "ok"


def test_a_stop_that_is_missing_still_ends_what_runs_before_it_is_started_anew() -> None:
    play = deployed()
    play.makefile("build", "install", "start")
    play.push("web", "r2")
    assert play.rest() == ["build web r2", "install web r2", "start web r2"]
    assert [what for _, what in play.shims.gone[-2:]] == ["stop web", "start web"]
