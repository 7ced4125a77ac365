"""Unknown is never absent: what the core believes while something cannot be seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import ROOT, SECOND, Play, deployed, steps
from tests.unit.core_trouble import (
    TROUBLES,
    fleet,
    trouble_of_the_app,
    trouble_of_the_root,
    trouble_of_the_watcher,
)

TWO = (RootSettings(ROOT), RootSettings(SECOND))


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_begins_nothing_and_stops_nothing(trouble: object) -> None:
    play = deployed()
    trouble(play, True)  # type: ignore[operator]
    assert play.word() == "unknown"
    assert play.view().reached is None
    assert play.after(1000.0) == []
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == []
    assert play.word() == "ok"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_change_during_trouble_is_deployed_after_it(trouble: object) -> None:
    play = deployed()
    trouble(play, True)  # type: ignore[operator]
    if trouble is trouble_of_the_app:  # a push would end it
        play.share.files[ROOT, "web"].release = "r2"
    else:
        play.push("web", "r2")
    assert play.after(1000.0) == []
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_between_two_steps_stops_a_deploy_there(trouble: object) -> None:
    play = deployed()
    play.will("web", "install", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    trouble(play, True)  # type: ignore[operator]
    assert play.after(1000.0) == []
    assert play.app().record.applied.installed.endswith("r2:7")
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == steps("r2", "restart", "check")


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("layout", [Layout.GIT, Layout.TREE])
def test_what_is_half_there_after_trouble_between_two_steps_is_waited_for(
    layout: Layout, trouble: Callable[[Play, bool], None]
) -> None:
    play = deployed("r1", layout)
    play.push("web", "r2")
    play.will("web", "install", seconds=5.0, then=lambda: trouble(play, True))
    assert play.after(60.0) == ["install web r2"]
    files = next(iter(play.share.files.values()))
    files.release = "half"
    trouble(play, False)
    for n in range(5):
        assert play.after(1.0) == []
        play.push("web", f"half{n}")
    play.push("web", "r3")
    assert play.rest() == ["install web r3", "restart web r3", "check web r3"]


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("targets", [("restart", "check"), ("check",)])
@pytest.mark.parametrize("trouble", [trouble_of_the_root, trouble_of_the_watcher])
def test_what_fails_while_the_share_is_away_is_done_again_after_it(
    trouble: object, targets: tuple[str, ...], layout: Layout
) -> None:
    play = deployed(layout=layout)
    play.will("web", targets[0], Outcome.FAILED, seconds=20.0)
    play.push("web", "r2")
    play.after(15.0)
    trouble(play, True)  # type: ignore[operator]
    assert play.after(1000.0) == []
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == steps("r2", *targets)
    assert play.word() == "ok"


def test_what_fails_while_a_share_hangs_is_done_again_also_where_it_then_gives_errors() -> None:
    play = deployed(layout=Layout.GIT)
    play.will("web", "restart", Outcome.FAILED, seconds=20.0)
    play.push("web", "r2")
    play.after(15.0)
    play.watcher.hang()
    assert play.after(100.0) == []
    play.watcher.hangs = False  # the call that hung ends with an error, before the watcher is back
    play.root_trouble("ENOTCONN")
    play.watcher.come_back()
    assert play.after(100.0) == []
    play.root_trouble("")
    assert play.rest() == steps("r2", "restart", "check")
    assert play.word() == "ok"


@pytest.mark.parametrize("trouble", [trouble_of_the_root, trouble_of_the_watcher])
def test_what_was_seen_before_the_share_went_away_is_not_deployed_after_it(trouble: object) -> None:
    play = deployed(layout=Layout.GIT)
    play.push("web", "r2")
    play.after(1.0)  # not complete yet
    trouble(play, True)  # type: ignore[operator]
    play.push("web", "r3")
    play.after(1000.0)
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == steps("r3", "install", "restart", "check")


@pytest.mark.parametrize("trouble", [trouble_of_the_root, trouble_of_the_watcher])
def test_what_ran_while_the_share_was_away_and_fails_after_it_is_done_again(
    trouble: object,
) -> None:
    play = deployed(layout=Layout.GIT)
    play.will("web", "restart", Outcome.TIMEOUT, seconds=50.0)
    play.push("web", "r2")
    assert play.after(10.0) == steps("r2", "install", "restart")
    trouble(play, True)  # type: ignore[operator]
    assert play.after(20.0) == []
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == steps("r2", "restart", "check")
    play.will("web", "restart", Outcome.TIMEOUT)  # but what began after it counts
    play.push("web", "r3")
    assert play.rest() == steps("r3", "install", "restart")
    assert play.word() == "failed"


@pytest.mark.parametrize("trouble", [trouble_of_the_root, trouble_of_the_watcher])
def test_what_had_failed_before_the_share_went_away_is_not_done_again(trouble: object) -> None:
    play = deployed(layout=Layout.GIT)
    play.will("web", "restart", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    play.after(30.0)
    trouble(play, True)  # type: ignore[operator]
    play.after(1000.0)
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == []
    assert play.word() == "failed"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_after_a_boot_in_the_middle_of_trouble_apps_start_when_it_is_over(trouble: object) -> None:
    play = deployed()
    play.crash()
    trouble(play, True)  # type: ignore[operator]
    play.reboot()
    assert play.after(1000.0) == []
    trouble(play, False)  # type: ignore[operator]
    assert play.rest() == steps("r1", "start", "check")


def test_the_trouble_of_a_root_is_told_once_and_not_of_each_app() -> None:
    play = fleet("web", "shop", "blog")
    before = len(play.reported)
    play.root_trouble("ENOTCONN")
    play.after(1000.0)
    play.root_trouble("")
    play.rest()
    assert [notice.kind for notice in play.reported[before:]] == ["root.unknown", "root.known"]


def test_the_trouble_of_an_app_is_told_once_and_its_end() -> None:
    play = deployed()
    before = len(play.reported)
    for _ in range(5):
        play.app_trouble("web", "EIO")
        play.after(10.0)
    play.app_trouble("web", "")
    play.rest()
    assert [notice.kind for notice in play.reported[before:]] == ["app.unknown", "app.known"]


def test_a_hanging_watcher_is_told_once() -> None:
    play = deployed(roots=TWO)
    before = len(play.reported)
    play.watcher.hang()
    play.after(100.0)
    play.watcher.come_back()
    play.rest()
    assert [notice.kind for notice in play.reported[before:]] == ["watcher.stuck", "watcher.back"]


def test_what_an_app_says_of_itself_is_kept_while_it_is_unknown() -> None:
    play = deployed()
    play.push("web", "r2", own={"settle": 30.0})
    play.rest()
    play.share.files[ROOT, "web"].own = {}
    play.app_trouble("web", "EIO")
    assert play.app().seen.own == {"settle": 30.0}
