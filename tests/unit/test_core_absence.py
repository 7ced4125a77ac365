"""Absent apps: when they count as removed, and what a person can forget."""

from __future__ import annotations

import pytest

from appagent.model.words import Outcome
from tests.unit.core_play import deployed, steps
from tests.unit.core_trouble import (
    fleet,
    trouble_of_the_mount,
    trouble_of_the_root,
    trouble_of_the_watcher,
)


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
