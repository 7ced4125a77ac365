"""What the core believes of what the watcher tells it: unknown is never gone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import ROOT, SECOND, Play, deployed
from tests.unit.core_trouble import (
    TROUBLES,
    fleet,
    trouble_of_the_app,
    trouble_of_the_mount,
    trouble_of_the_root,
    trouble_of_the_watcher,
)

ENV = "/files/config/common.env"
TWO = (RootSettings(ROOT), RootSettings(SECOND))


def steps(release: str, *targets: str, app: str = "web") -> list[str]:
    return [f"{target} {app} {release}" for target in targets]


# --- unknown -------------------------------------------------------------------------------------


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


# --- gone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [trouble_of_the_root, trouble_of_the_watcher, trouble_of_the_mount]
)
def test_absence_is_counted_anew_after_trouble(trouble: object) -> None:
    play = fleet("web", "shop", gone_after=60.0)
    play.remove("web")
    play.after(50.0)
    trouble(play, True)  # type: ignore[operator]
    play.after(100.0)
    trouble(play, False)  # type: ignore[operator]
    assert play.after(59.0) == []
    assert play.rest() == steps("r1", "stop")


def test_an_absence_that_began_before_a_new_agent_is_counted_anew() -> None:
    play = fleet("web", "shop", gone_after=60.0)
    play.remove("web")
    play.after(50.0)
    play.restart()
    assert play.after(59.0) == []
    assert play.rest() == steps("r1", "stop")


def test_an_empty_root_is_not_believed() -> None:
    play = deployed()
    play.unmount()
    assert play.after(10_000.0) == []
    assert "empty" in play.view().why


@pytest.mark.parametrize(("apps", "gone"), [(2, 2), (3, 2), (4, 3), (10, 6)])
def test_more_than_half_of_the_apps_gone_at_once_is_not_believed(apps: int, gone: int) -> None:
    names = [f"app{n}" for n in range(apps)]
    play = fleet(*names)
    play.remove(*names[:gone])
    assert play.after(10_000.0) == []
    assert play.word("app0") == "unknown"
    assert "forget app0" in play.view("app0").why
    for name in names[:gone]:
        play.push(name, "r1")
    assert play.rest() == []
    assert play.word("app0") == "ok"


@pytest.mark.parametrize(("apps", "gone"), [(2, 1), (4, 2), (10, 5)])
def test_half_of_the_apps_or_one_can_go(apps: int, gone: int) -> None:
    names = [f"app{n}" for n in range(apps)]
    play = fleet(*names)
    play.remove(*names[:gone])
    assert sorted(play.rest()) == [f"stop {name} r1" for name in names[:gone]]


def test_one_by_one_all_apps_but_the_last_can_go() -> None:
    play = fleet("a", "b", "c")
    for name in "ab":
        play.remove(name)
        assert play.rest() == [f"stop {name} r1"]


def test_apps_that_went_at_once_stay_unknown_until_each_is_back_or_forgotten() -> None:
    play = fleet("a", "b", "c", "d")
    play.remove("a", "b", "c")
    play.after(100.0)
    play.push("a", "r1")
    play.push("b", "r1")
    assert play.after(1000.0) == []
    assert play.word("c") == "unknown"
    assert play.forget("c") == 0
    assert play.rest() == ["stop c r1"]


def test_that_apps_went_at_once_is_known_to_the_next_agent() -> None:
    play = fleet("a", "b")
    play.remove("a", "b")
    for name in ("c", "d", "e"):  # of five apps, two could go
        play.push(name, "r1")
    play.rest()
    play.restart()
    assert play.rest() == []
    assert play.word("a") == play.word("b") == "unknown"
    assert play.forget("a") == 0
    assert play.rest() == ["stop a r1"]
    assert play.word("b") == "unknown"


def test_what_a_person_forgets_is_stopped_and_only_that() -> None:
    play = fleet("a", "b", "c")
    play.remove("a", "b")
    play.after(100.0)
    assert play.forget("a") == 0
    assert play.after(1000.0) == ["stop a r1"]
    assert play.word("b") == "unknown"


def test_an_app_that_is_there_cannot_be_forgotten() -> None:
    play = deployed()
    assert play.forget("web") == 1
    assert play.rest() == []


def test_what_was_forgotten_is_so_for_the_next_agent_too() -> None:
    play = fleet("a", "b", "c")
    for app in ("a", "b"):
        play.always(app, "stop", Outcome.FAILED)
    play.remove("a", "b")
    play.after(300.0)
    for app in ("a", "b"):
        assert play.word(app) == "unknown"
        assert play.forget(app) == 0
    play.after(30.0)
    play.restart()
    for app in ("a", "b"):
        play.always(app, "stop", Outcome.OK)
    play.rest()
    assert play.node.apps.keys() == {"c"}
    assert play.shims.running.keys() == {"c"}


def test_what_was_forgotten_and_is_back_is_believed_again() -> None:
    play = fleet("a", "b", "c")
    play.always("a", "stop", Outcome.FAILED)
    play.remove("a", "b")
    play.after(300.0)
    play.forget("a")
    play.after(1.0)
    play.push("a", "r1")
    play.rest()
    assert not play.app("a").record.forgotten
    assert play.word("a") == "ok"


def test_what_was_forgotten_while_nothing_was_seen_is_looked_for_before_it_is_stopped() -> None:
    play = deployed()
    play.push("shop", "r1")
    play.rest()
    play.remove("web")
    play.after(1.0)
    play.watcher.hang()
    play.forget("web")
    play.push("web", "r1")
    play.watcher.come_back()
    assert play.rest() == []
    assert play.word() == "ok"
    play.remove("web")
    play.forget("web")
    assert play.rest() == ["stop web r1"]
