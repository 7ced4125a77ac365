"""Permits: which steps need one, what an app does without it, and that each is given back."""

from __future__ import annotations

import pytest

from appagent.core.permits import needs_permit
from appagent.core.state import App
from appagent.model.applied import Applied, Record
from appagent.model.commands import AskPermit, ReturnPermit
from appagent.model.events import PermitDenied
from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome, Target, Version
from tests.unit.core_play import ROOT, SECOND, Play, deployed, steps


def asked(play: Play) -> list[Target]:
    """The steps for which a permit was asked."""
    return [command.step for command in play.commands if isinstance(command, AskPermit)]


def given_back(play: Play) -> list[Target]:
    """The steps whose permit was given back."""
    return [command.permit.step for command in play.commands if isinstance(command, ReturnPermit)]


# --- which steps need one ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("may_run", "needed"),
    [
        ("this boot", {Target.BUILD, Target.INSTALL, Target.RESTART, Target.CHECK}),
        ("", {Target.BUILD, Target.INSTALL, Target.CHECK}),
        ("another boot", {Target.BUILD, Target.INSTALL, Target.CHECK}),
    ],
)
def test_a_restart_needs_a_permit_only_where_the_app_may_run(
    may_run: str, needed: set[Target]
) -> None:
    app = App(Record("web", "/files", Applied(may_run=may_run)))
    assert {step for step in Target if needs_permit(step, app, "this boot")} == needed


def test_what_has_only_a_restart_is_started_after_a_boot_without_a_permit() -> None:
    play = Play()
    play.makefile("install", "restart")
    play.push("web", "r1")
    play.rest()
    play.permits = False
    play.reboot()
    play.rest()
    assert play.shims.running == {"web": play.app().record.applied.installed}
    assert play.word() == "ok"


def test_a_start_of_what_is_down_needs_no_permit() -> None:
    play = Play()
    play.makefile("install", "start", "restart", "stop")
    play.push("web", "r1")
    play.rest()
    play.permits = False
    play.reboot()
    assert play.rest() == steps("r1", "start")


def test_a_restart_waits_for_its_permit_for_ever() -> None:
    play = deployed()
    play.permits = False
    play.trigger("web", "restart")
    assert play.rest() == []
    assert play.word() == "pending"
    play.grant("web", Target.RESTART, play.view().want.version)
    assert play.rest() == steps("r1", "restart")


def test_a_permit_for_another_version_is_no_permit() -> None:
    play = deployed()
    play.makefile("install", "start", "restart")
    play.permits = False
    play.push("web", "r2")
    old = play.view().want.version
    play.push("web", "r3")
    for target in Target:
        play.grant("web", target, old)
        play.grant("web", target, Version("nonsense", ""))
        play.grant("nobody", target, old)
    assert play.rest() == []
    play.permit("web")  # for a build, that its Makefile lacks
    assert play.rest() == []
    play.permit("web")
    assert play.rest() == steps("r3", "install")


def test_one_permit_is_for_one_run() -> None:
    play = deployed(retry_first=2.0)
    play.permits = False
    play.will("web", "install", Outcome.FAILED, Outcome.FAILED)
    play.push("web", "r2")
    play.permit("web")  # for a build, that its Makefile lacks
    for _ in range(2):
        assert play.rest() == []
        play.permit("web")
        assert play.rest() == steps("r2", "install")


def test_who_waits_for_a_permit_keeps_nobody_out() -> None:
    play = Play(parallel_apps=1)
    play.permits = False
    play.push("a", "r1")
    play.rest()
    play.permits = True
    play.push("b", "r1")
    assert play.rest() == steps("r1", "install", "start", "check", app="b")


# --- each is given back --------------------------------------------------------------------------


def test_a_permit_is_held_until_its_run_is_over() -> None:
    play = deployed()
    play.permits = False
    play.will("web", "restart", seconds=20.0)
    play.trigger("web", "restart")
    play.permit("web")
    play.after(10.0)
    held = play.app().attempt.permit
    assert held is not None
    assert held.step is Target.RESTART
    assert play.giver.held == {("web", held)}
    play.rest()
    assert not play.giver.held
    assert given_back(play)[-1] is Target.RESTART


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.MOVED, Outcome.LOST, Outcome.TIMEOUT])
def test_a_run_that_fails_gives_its_permit_back(outcome: Outcome) -> None:
    play = deployed()
    play.permits = False
    play.will("web", "restart", outcome)
    play.push("web", "r2")
    for _ in range(3):  # build, install, restart
        play.permit("web")
        play.rest()
    assert given_back(play)[-3:] == [Target.BUILD, Target.INSTALL, Target.RESTART]
    assert not play.giver.held


def test_a_permit_that_comes_too_late_is_given_back() -> None:
    play = deployed()
    play.permits = False
    play.trigger("web", "restart")
    version = play.view().want.version
    play.hold("web")
    play.grant("web", Target.RESTART, version)
    play.grant("nobody", Target.RESTART, version)
    assert play.rest() == []
    assert not play.giver.held


def test_a_permit_is_not_kept_while_the_app_waits_for_a_place() -> None:
    play = Play(parallel_apps=1)
    for app in ("a", "b"):
        play.push(app, "r1")
    play.rest()
    play.permits = False
    play.will("a", "restart", seconds=20.0)
    play.trigger("b", "restart")
    play.trigger("a", "restart")
    play.permit("a")
    play.after(1.0)
    play.permit("b")
    play.after(1.0)
    assert {app for app, _ in play.giver.held} == {"a"}
    play.rest()
    assert asked(play).count(Target.RESTART) == 3  # b asks again when a place is free


def test_an_app_that_moves_during_its_run_holds_its_permit_until_the_end() -> None:
    play = Play(roots=[RootSettings(ROOT), RootSettings(SECOND)], gone_after=10.0)
    play.push("web", "r1", Layout.SYMLINK)
    play.rest()
    play.permits = False
    play.will("web", "restart", seconds=50.0)
    play.trigger("web", "restart")
    play.permit("web")
    play.after(1.0)
    play.remove("web")
    play.push("web", "r1", root=SECOND)
    play.after(20.0)
    assert play.app().record.root == SECOND
    assert play.app().run is not None
    assert {app for app, _ in play.giver.held} == {"web"}
    play.rest()
    assert not play.giver.held


def test_a_permit_that_has_expired_permits_nothing() -> None:
    play = deployed()
    play.permits = False
    play.trigger("web", "restart")
    play.grant("web", Target.RESTART, play.view().want.version, until=play.mono)
    assert play.rest() == []
    assert asked(play)[-2:] == [Target.RESTART, Target.RESTART]
    assert not play.giver.held


# --- a denial ------------------------------------------------------------------------------------


def test_after_a_denial_it_is_asked_again_when_the_denial_said() -> None:
    play = deployed()
    play.permits = False
    play.trigger("web", "restart")
    before = len(asked(play))
    version = play.view().want.version
    play.feed(PermitDenied("web", Target.RESTART, version, "app2 restarts", play.mono + 30.0))
    assert play.view().why == "waiting for the permit to restart: app2 restarts"
    play.trigger("web")
    play.after(29.0)
    assert len(asked(play)) == before
    play.permits = True
    assert play.after(2.0) == steps("r1", "restart", "check")


def test_a_denial_of_what_is_not_asked_for_changes_nothing() -> None:
    play = deployed()
    play.permits = False
    play.trigger("web", "restart")
    before = play.app()
    other = Version("other", "")
    play.feed(PermitDenied("web", Target.RESTART, other, "", play.mono + 1.0))
    play.feed(PermitDenied("nobody", Target.RESTART, other, "", play.mono + 1.0))
    assert play.app() == before
