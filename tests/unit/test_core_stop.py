"""What people ask for: stop, and start again."""

from __future__ import annotations

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Outcome
from tests.unit.core_play import ROOT, Play, deployed, steps

OK, LATER = 0, 75


def stopped() -> Play:
    play = deployed()
    assert play.trigger("web", "stop") == OK
    assert play.rest() == steps("r1", "stop")
    assert play.word() == "stopped"
    return play


def test_what_a_person_stops_stays_stopped_whatever_comes() -> None:
    play = stopped()
    play.push("web", "r2")
    assert play.rest() == []
    play.restart()
    assert play.rest() == []
    play.reboot()
    assert play.rest() == []
    assert play.word() == "stopped"


@pytest.mark.parametrize("way", ["start", "resume"])
def test_start_or_resume_ends_a_stop(way: str) -> None:
    play = stopped()
    play.reboot()
    play.rest()
    assert (play.resume("web") if way == "resume" else play.trigger("web", "start")) == OK
    assert play.rest() == steps("r1", "start", "check")


def test_a_stopped_app_starts_with_what_is_newest() -> None:
    play = stopped()
    play.push("web", "r2")
    play.rest()
    play.trigger("web", "start")
    assert play.rest() == steps("r2", "install", "start", "check")


def test_a_stop_waits_for_a_run_that_cannot_be_ended() -> None:
    play = deployed()
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    assert play.trigger("web", "stop") == OK
    assert play.rest() == steps("r2", "stop")


def test_a_stop_ends_a_running_install() -> None:
    play = deployed()
    play.will("web", "install", seconds=500.0)
    play.push("web", "r2")
    play.after(10.0)
    assert play.trigger("web", "stop") == OK
    assert play.after(10.0) == steps("r1", "stop")


def test_a_stopped_app_that_is_removed_is_forgotten() -> None:
    play = stopped()
    play.remove("web")
    assert play.rest() == []
    assert play.disk == {}


def test_a_person_may_stop_an_app_that_cannot_be_seen() -> None:
    play = deployed()
    play.root_trouble("ENOTCONN")
    assert play.trigger("web", "stop") == OK
    assert play.rest() == steps("r1", "stop")


def test_what_is_unmanaged_cannot_be_stopped() -> None:
    play = deployed()
    play.configure(roots=(RootSettings(ROOT, exclude=("web",)),))
    assert play.trigger("web", "stop") == LATER
    assert play.rest() == []
    play.configure(roots=(RootSettings(ROOT),))
    assert play.rest() == []


def test_a_stop_of_what_is_held_stops_it() -> None:
    play = deployed()
    play.hold("web")
    assert play.trigger("web", "stop") == OK
    assert play.rest() == steps("r1", "stop")
    assert play.trigger("web", "start") == OK
    assert play.rest() == steps("r1", "start")


def test_an_app_is_stopped_although_the_shim_of_its_restart_never_proceeded() -> None:
    play = deployed()
    play.shims.slow = 60.0
    play.trigger("web", "restart")
    play.after(1.0)
    (shim,) = play.shims.living()
    play.shims.over(shim.run.id, Outcome.LOST)
    play.trigger("web", "stop")
    assert play.rest()[-1:] == steps("r1", "stop")
    assert play.word() == "stopped"
