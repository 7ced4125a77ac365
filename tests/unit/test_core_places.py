"""A release and its directory travel together: no run is of one release and in another's place."""

from __future__ import annotations

import pytest

from appagent.model.words import Layout, Outcome
from tests.unit.core_play import Play, deployed


def in_releases(*names: str) -> Play:
    """A play in which web runs the last of these releases; each was good before the next."""
    play = deployed(names[0])
    for name in names[1:]:
        play.push("web", name)
        play.rest()
    play.ran()
    return play


# --- a swapped link, and `.deploying` -------------------------------------------------------------


def test_what_is_swapped_in_before_it_is_complete_is_not_where_the_last_good_release_lies() -> None:
    play = in_releases("r1")
    play.push("web", "r2", incomplete=".deploying")
    assert play.after(5.0) == []
    play.will("web", "restart", Outcome.FAILED, line="boom")
    play.push("web", "r2")
    assert play.rest() == [
        "install web r2",
        "restart web r2",
        "install web r1",
        "restart web r1",
        "check web r1",
    ]
    assert play.word() == "rolled-back"


def test_what_is_held_is_started_where_it_lies_though_the_link_leads_elsewhere() -> None:
    play = in_releases("r1")
    play.push("web", "r2", incomplete=".deploying")
    play.after(1.0)
    play.hold("web")
    play.reboot()
    assert play.rest() == ["start web r1"]


def test_what_runs_is_stopped_where_it_lies_though_the_link_leads_elsewhere() -> None:
    play = in_releases("r1")
    play.push("web", "r2", incomplete=".deploying")
    play.after(1.0)
    play.trigger("web", "stop")
    assert play.rest() == ["stop web r1"]


def test_a_release_that_never_ran_here_is_not_looked_for_where_another_one_lies() -> None:
    play = Play()
    play.will("web", "install", Outcome.FAILED)
    play.push("web", "r1")
    play.after(1.0)
    play.push("web", "r2", incomplete=".deploying")
    play.ran()
    assert play.after(60.0) == []
    assert play.word() == "settling"
    play.push("web", "r2")
    assert play.rest() == ["install web r2", "start web r2", "check web r2"]


# --- what runs, and what is installed beside it --------------------------------------------------


def test_what_runs_is_stopped_by_its_own_makefile_while_the_next_release_is_only_installed() -> (
    None
):
    play = in_releases("r1")
    play.will("web", "install", seconds=10.0)
    play.push("web", "r2")
    assert play.after(5.0) == ["install web r2"]
    play.hold("web")
    assert play.after(60.0) == []
    play.trigger("web", "stop")
    assert play.rest() == ["stop web r1"]


def test_a_hold_during_an_install_starts_after_a_boot_what_ran_before() -> None:
    play = in_releases("r1")
    play.will("web", "install", seconds=10.0)
    play.push("web", "r2")
    assert play.after(5.0) == ["install web r2"]
    play.hold("web")
    assert play.after(60.0) == []
    play.reboot()
    assert play.rest() == ["start web r1"]
    play.resume("web")
    assert play.rest() == ["restart web r2", "check web r2"]


def test_an_app_that_never_ran_here_is_not_started_under_a_hold() -> None:
    play = Play()
    play.will("web", "install", seconds=10.0)
    play.push("web", "r1")
    assert play.after(5.0) == ["install web r1"]
    play.hold("web")
    assert play.after(60.0) == []
    play.reboot()
    assert play.rest() == []
    assert play.word() == "held"


@pytest.mark.parametrize("layout", [Layout.GIT, Layout.TREE])
def test_where_each_release_takes_the_place_of_the_last_a_held_one_is_started_as_it_is(
    layout: Layout,
) -> None:
    play = deployed("r1", layout)
    play.will("web", "install", seconds=10.0)
    play.push("web", "r2")
    assert play.after(5.0) == ["install web r2"]
    play.hold("web")
    assert play.after(60.0) == []
    play.reboot()
    assert play.rest() == ["start web r2"]


# --- the way back --------------------------------------------------------------------------------


def test_a_release_that_was_made_anew_under_its_name_is_no_way_back() -> None:
    play = in_releases("r1")
    play.always("web", "restart", Outcome.FAILED, line="boom")
    play.push("web", "r1", anew=True)
    assert play.rest() == ["install web r1", "restart web r1"]
    assert play.word() == "failed"
    assert play.text("app.no_rollback")
    good = play.app().record.last_good
    assert good is not None
    assert good.release == "symlink.1:releases/r1:7"


def test_the_way_back_leads_past_a_release_that_failed_to_where_the_last_good_one_lies() -> None:
    play = in_releases("r0", "r1")
    play.configure(on_failure="leave")
    play.will("web", "restart", Outcome.FAILED, Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    play.configure(on_failure="previous")
    play.push("web", "r3")
    assert play.rest()[-3:] == ["install web r1", "restart web r1", "check web r1"]


def test_an_app_that_moves_is_found_where_it_lies_now() -> None:
    play = in_releases("r1")
    play.watcher.roots["/files/staging"] = ""
    play.configure(roots=(*play.settings.roots, type(play.settings.roots[0])("/files/staging")))
    play.push("web", "r1", root="/files/staging")
    play.remove("web", root="/files/production")
    assert play.rest() == []
    play.trigger("web", "stop")
    assert play.rest() == ["stop web r1"]
    assert play.shims.running == {}
    ran = play.app().record.ran
    assert ran is not None
    assert ran.directory == "/files/staging/web/releases/r1"
