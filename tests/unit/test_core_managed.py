"""Which apps are a node's to run, under which settings; and events that come late or twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appagent.model.events import AppObserved
from appagent.model.seen import AppSeen, RootSeen
from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import ROOT, SECOND, Play, deployed, steps
from tests.unit.core_trouble import fleet, trouble_of_the_mount, trouble_of_the_root

TWO = (RootSettings(ROOT), RootSettings(SECOND))


def test_an_app_that_the_configuration_leaves_out_is_never_touched() -> None:
    play = deployed(roots=[RootSettings(ROOT, exclude=("no*",))])
    play.push("nope", "r1")
    assert play.rest() == []
    assert "nope" not in play.node.apps


def test_an_app_that_is_left_out_later_runs_on_and_is_never_stopped() -> None:
    play = deployed()
    play.configure(roots=(RootSettings(ROOT, exclude=("web",)),))
    assert play.word() == "unmanaged"
    play.push("web", "r2")
    assert play.rest() == []
    play.remove("web")
    assert play.rest() == []
    play.reboot()
    assert play.rest() == []
    assert "web" in play.disk


def test_a_root_that_is_left_out_later_is_left_alone() -> None:
    play = deployed(roots=TWO)
    play.configure(roots=(RootSettings(SECOND),))
    play.push("web", "r2", root=ROOT)
    assert play.rest() == []
    assert play.word() == "unmanaged"
    play.configure(roots=TWO)
    play.watcher.push_all()
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_an_app_that_the_configuration_takes_in_later_is_deployed() -> None:
    play = Play(roots=[RootSettings(ROOT, exclude=("web",))])
    play.push("web", "r1")
    assert play.rest() == []
    play.configure(roots=(RootSettings(ROOT),))
    assert play.rest() == steps("r1", "install", "start", "check")


@pytest.mark.parametrize("without", [(RootSettings(ROOT, exclude=("web",)),), ()])
def test_an_absence_while_it_was_left_out_counts_for_nothing(
    without: tuple[RootSettings, ...],
) -> None:
    play = fleet("web", "shop", "mail", gone_after=60.0)
    files = play.share.files[ROOT, "web"]
    play.configure(roots=without)
    play.remove("web")
    assert play.after(1000.0) == []
    play.share.files[ROOT, "web"] = files  # it is back, and no listing has said so yet
    play.configure(roots=(RootSettings(ROOT),))
    assert play.word() in {"unknown", "scanning"}
    assert play.after(1.0) == []
    play.watcher.push_all()
    assert play.rest() == []
    assert play.word() == "ok"


def test_an_absence_counts_from_when_it_is_taken_in_again() -> None:
    play = fleet("web", "shop", "mail", gone_after=60.0)
    play.configure(roots=(RootSettings(ROOT, exclude=("web",)),))
    play.remove("web")
    assert play.after(1000.0) == []
    play.configure(roots=(RootSettings(ROOT),))
    assert play.after(59.0) == []
    assert play.after(2.0) == steps("r1", "stop")


def test_what_was_seen_before_it_was_left_out_is_not_deployed_after_it() -> None:
    play = deployed(layout=Layout.TREE, settle=2.0)
    play.push("web", "r2")
    play.after(1.0)
    play.configure(roots=(RootSettings(ROOT, exclude=("web",)),))
    files = play.share.files[ROOT, "web"]
    play.share.files[ROOT, "web"] = replace(files, release="r1")  # taken back, and nobody looked
    play.configure(roots=(RootSettings(ROOT),))
    assert play.rest() == []
    assert play.word() == "ok"


def test_what_is_unmanaged_can_be_forgotten_and_runs_on() -> None:
    play = deployed()
    play.configure(roots=(RootSettings(SECOND),))
    assert play.forget("web") == 0
    assert play.rest() == []
    assert play.disk == {}
    assert play.shims.running != {}


def test_an_entry_that_can_be_no_app_is_told_of_once() -> None:
    play = Play()
    play.share.refused[ROOT]["bad name"] = "the name has ' ' in it"
    for _ in range(3):
        play.watcher.push_root(ROOT)
    assert play.notices("app.refused") == ["app.refused"]
    assert list(play.node.refused) == [f"{ROOT}/bad name"]
    play.share.refused[ROOT].clear()
    play.watcher.push_root(ROOT)
    assert play.node.refused == {}


def test_a_name_belongs_to_the_root_that_had_it_first() -> None:
    play = Play(roots=TWO)
    play.push("web", "r1", root=ROOT)
    play.rest()
    play.push("web", "other", root=SECOND)
    assert play.rest() == []
    assert f"{SECOND}/web" in play.node.refused
    assert play.notices("app.refused") == ["app.refused"]


@pytest.mark.parametrize("first", [ROOT, SECOND])
def test_an_app_that_moves_to_another_root_is_not_stopped(first: str) -> None:
    second = SECOND if first == ROOT else ROOT
    play = Play(roots=TWO)
    for name in ("web", "shop", "blog"):
        play.push(name, "r1", root=first)
    play.rest()
    play.push("web", "r2", root=second)
    play.remove("web", root=first)
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.app().record.root == second
    assert play.node.refused == {}


def test_an_app_that_was_refused_is_taken_when_the_name_is_free() -> None:
    play = Play(roots=TWO)
    play.push("web", "r1", root=ROOT)
    play.push("shop", "r1", root=ROOT)
    play.rest()
    play.push("web", "other", root=SECOND)
    play.rest()
    play.remove("web", root=ROOT)
    assert play.rest() == steps("other", "install", "restart", "check")


@pytest.mark.parametrize("trouble", [trouble_of_the_root, trouble_of_the_mount])
def test_a_name_is_not_taken_over_while_its_root_is_in_trouble(trouble: object) -> None:
    play = Play(roots=TWO)
    play.push("web", "r1", root=ROOT)
    play.rest()
    trouble(play, True)  # type: ignore[operator]
    play.watcher.empty = False
    play.push("web", "other", root=SECOND)
    assert play.after(1000.0) == []
    assert play.app().record.root == ROOT


def test_a_name_that_two_roots_share_goes_to_the_one_that_runs_it_here() -> None:
    play = Play(roots=[RootSettings(ROOT, exclude=("web",)), RootSettings(SECOND)])
    play.push("web", "r1", root=SECOND)
    play.push("web", "r0", root=ROOT)
    assert play.rest() == steps("r1", "install", "start", "check")
    play.configure(roots=(RootSettings(ROOT), RootSettings(SECOND, exclude=("web",))))
    assert play.rest() == steps("r0", "install", "restart", "check")


# --- settings ------------------------------------------------------------------------------------


def test_a_changed_setting_applies_without_a_run() -> None:
    play = deployed()
    play.configure(settle=9.0, retry_max=17.0, gone_after=5.0, grace=1.0, parallel_apps=7)
    assert play.rest() == []
    play.push("shop", "r1")
    play.remove("web")
    assert play.after(4.0) == steps("r1", "install", "start", "check", app="shop")
    assert play.after(10.0) == steps("r1", "stop")


def test_another_user_is_another_environment() -> None:
    play = deployed()
    play.configure(roots=(RootSettings(ROOT, run_as="www-data"),))
    assert play.rest() == steps("r1", "restart", "check")


def test_an_app_whose_own_settings_are_wrong_is_blocked_and_says_so_once() -> None:
    play = deployed()
    play.push("web", "r2", own_error="appagent.yaml:3: settle: no duration")
    assert play.rest() == []
    assert play.word() == "blocked"
    assert play.notices("app.blocked") == ["app.blocked"]
    play.push("web", "r3", own_error="")
    assert play.rest() == steps("r3", "install", "restart", "check")


def test_an_app_may_ask_for_a_longer_rest_of_its_files() -> None:
    play = deployed(layout=Layout.TREE)
    play.push("web", "r2", own={"settle": 30.0})
    assert play.after(29.0) == []
    assert play.rest() == steps("r2", "install", "restart", "check")


# --- events that are stale, late or double -------------------------------------------------------


def test_events_that_are_repeated_are_harmless() -> None:
    play = deployed(layout=Layout.TREE)
    for _ in range(3):
        play.watcher.push_all()
        play.feed(play.last_ended())
    assert play.rest() == []


def test_a_late_look_is_not_believed_over_a_newer_one() -> None:
    play = deployed()
    old = play.app().seen.latest
    root = play.node.roots[ROOT].seen
    assert old is not None
    assert root is not None
    play.push("web", "r2")
    play.push("shop", "r1")
    play.rest()
    play.feed(AppObserved(old))
    play.feed(root)
    assert play.rest() == []
    assert play.word() == "ok"
    assert play.word("shop") == "ok"


def test_looks_at_what_is_not_configured_are_passed_over() -> None:
    play = deployed()
    play.feed(RootSeen("/elsewhere", known=True, names=("web", "x")))
    play.feed(AppObserved(AppSeen("/elsewhere", "web", known=True, release="x", layout=Layout.GIT)))
    play.feed(AppObserved(AppSeen(ROOT, "unheard", known=True, release="x", layout=Layout.GIT)))
    assert play.rest() == []
    assert list(play.node.apps) == ["web"]


def test_the_end_of_a_run_of_another_time_changes_nothing() -> None:
    play = deployed()
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    play.feed(replace(play.last_ended(), outcome=Outcome.FAILED))
    assert play.app().run is not None
    assert play.rest() == steps("r2", "check")


def test_a_root_that_was_left_out_for_a_moment_is_looked_at_again() -> None:
    play = deployed()
    roots = play.settings.roots
    play.configure(roots=())
    play.configure(roots=roots)
    assert play.rest() == []
    assert play.word() == "ok"
    play.push("web", "r2")
    assert play.rest() == ["install web r2", "restart web r2", "check web r2"]
