"""What people ask for: trigger."""

from __future__ import annotations

import pytest

from appagent.model.words import Outcome
from tests.unit.core_play import ROOT, Play, deployed, steps

OK, FAILED, USAGE, LATER = 0, 1, 64, 75


@pytest.mark.parametrize(
    ("target", "ran"),
    [
        ("", ""),
        ("build", "build install restart check"),
        ("install", "install restart check"),
        ("start", "start check"),
        ("restart", "restart check"),
        ("check", "check"),
        ("stop", "stop"),
    ],
)
def test_a_trigger_does_its_target_and_what_follows_from_it(target: str, ran: str) -> None:
    play = Play()
    play.makefile("build", "install", "start", "restart", "stop", "check")
    play.push("web", "r1")
    play.rest()
    assert play.trigger("web", target) == OK
    assert play.rest() == steps("r1", *ran.split())
    assert play.rest() == []


def test_a_trigger_during_a_run_is_done_after_it() -> None:
    play = deployed()
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    assert play.trigger("web", "restart") == OK
    assert play.rest() == steps("r2", "restart", "check")


def test_a_trigger_ends_a_running_install_and_begins_it_anew() -> None:
    play = deployed()
    play.will("web", "install", seconds=500.0)
    play.push("web", "r2")
    play.after(10.0)
    assert play.trigger("web") == OK
    assert play.after(20.0) == steps("r2", "install", "restart", "check")


def test_a_trigger_during_a_run_that_fails_is_not_kept_for_another_one() -> None:
    play = deployed(on_failure="leave")
    play.will("web", "check", Outcome.FAILED, seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    play.trigger("web", "restart")
    play.rest()
    play.push("web", "r3")
    assert play.rest() == steps("r3", "install", "restart", "check")


@pytest.mark.parametrize("target", ["", "build", "install", "restart", "check"])
def test_a_trigger_is_refused_where_the_app_is_held_or_stopped(target: str) -> None:
    play = deployed()
    play.hold("web")
    assert play.trigger("web", target) == LATER
    play.resume("web")
    play.trigger("web", "stop")
    play.rest()
    assert play.trigger("web", target) == LATER
    assert play.rest() == []


@pytest.mark.parametrize("target", ["", "install", "start", "restart", "check"])
def test_a_trigger_is_refused_where_the_app_is_unknown(target: str) -> None:
    play = deployed()
    play.root_trouble("ENOTCONN")
    assert play.trigger("web", target) == LATER
    play.root_trouble("")
    assert play.rest() == []


def test_a_trigger_of_nobody_is_refused() -> None:
    assert Play().trigger("nobody") == USAGE


def test_a_trigger_looks_at_once() -> None:
    play = deployed()
    play.share.files[ROOT, "web"].release = "r2"  # no event came
    assert play.rest() == []
    assert play.trigger("web") == OK
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_a_trigger_of_a_restart_of_what_is_down_starts_it() -> None:
    play = deployed()
    play.always("web", "start", Outcome.FAILED)
    play.reboot()
    play.after(10.0)
    play.always("web", "start")
    assert play.trigger("web", "restart") == OK
    assert play.after(10.0)[-2:] == steps("r1", "start", "check")


def test_a_triggered_check_that_fails_is_told_and_leaves_the_release() -> None:
    play = deployed()
    play.will("web", "check", Outcome.FAILED)
    play.trigger("web", "check")
    assert play.rest() == steps("r1", "check")
    assert play.word() == "failed"
