"""What may have processes is apart from what was started well, and belongs to one boot."""

from __future__ import annotations

import pytest

from appagent.model.events import ShuttingDown
from appagent.model.words import Outcome, Version
from tests.unit.core_play import Play, deployed

V1 = Version("symlink.1:releases/r1:7", "conf")


def start_in_vain(play: Play) -> None:
    """A person asks for a start of what runs; it says so and fails, and what ran runs on."""
    play.always("web", "start", Outcome.FAILED, line="address already in use")
    assert play.trigger("web", "start") == 0
    assert play.after(1.0) == ["start web r1"]


def half_started() -> Play:
    """A new app whose start leaves a process behind, and fails."""
    play = Play()
    play.always("web", "start", Outcome.TIMEOUT)
    play.push("web", "r1")
    assert play.after(1.5) == ["install web r1", "start web r1"]
    assert play.word() == "retrying"
    return play


# --- what may run is stopped ---------------------------------------------------------------------


def test_a_stop_ends_what_ran_though_a_start_was_tried_in_vain() -> None:
    play = deployed()
    start_in_vain(play)
    play.trigger("web", "stop")
    assert play.after(60.0) == ["stop web r1"]
    assert play.word() == "stopped"
    assert play.shims.running == {}


def test_a_stop_ends_what_ran_though_a_start_was_asked_for_and_waits() -> None:
    play = deployed(parallel_apps=1)
    play.push("busy", "r1")
    play.rest()
    play.will("busy", "restart", seconds=50.0)
    play.push("busy", "r2")
    play.after(2.0)
    play.trigger("web", "start")
    play.trigger("web", "stop")
    assert [run for run in play.after(120.0) if "web" in run] == ["stop web r1"]
    assert "web" not in play.shims.running


def test_a_stop_ends_what_a_start_that_failed_has_left() -> None:
    play = half_started()
    play.trigger("web", "stop")
    assert play.after(60.0) == ["stop web r1"]
    assert play.shims.running == {}


def test_what_a_start_that_failed_has_left_is_stopped_when_the_app_is_removed() -> None:
    play = half_started()
    play.remove("web")
    assert play.rest()[-1:] == ["stop web r1"]
    assert play.shims.running == {}
    assert play.node.apps == {}


def test_what_a_start_that_failed_has_left_is_stopped_with_the_machine() -> None:
    play = half_started()
    play.configure(on_shutdown="stop")
    play.feed(ShuttingDown())
    assert play.after(30.0) == ["stop web r1"]


def test_what_was_stopped_is_not_stopped_again() -> None:
    play = deployed()
    play.trigger("web", "stop")
    assert play.rest() == ["stop web r1"]
    play.remove("web")
    assert play.rest() == []


def test_a_stop_that_fails_is_tried_until_nothing_may_run() -> None:
    play = half_started()
    play.will("web", "stop", Outcome.FAILED)
    play.trigger("web", "stop")
    assert play.rest() == ["stop web r1"] * 2
    assert play.shims.running == {}


def test_after_a_boot_there_is_nothing_to_stop() -> None:
    play = half_started()
    play.crash()
    play.remove("web")
    play.reboot()
    assert play.rest() == []


# --- the end of a run belongs to the boot that it was in -----------------------------------------


@pytest.mark.parametrize("target", ["start", "restart"])
def test_what_was_started_just_before_a_boot_is_started_after_it(target: str) -> None:
    play = deployed()
    play.always("web", target, seconds=5.0)
    if target == "restart":
        play.push("web", "r2")
    else:
        play.reboot()
    play.after(3.0)
    play.crash()
    play.after(10.0)
    play.ran()
    play.reboot()
    release = "r2" if target == "restart" else "r1"
    assert play.rest() == [f"start web {release}", f"check web {release}"]
    assert play.shims.running == {"web": play.app().record.applied.installed}


@pytest.mark.parametrize("target", ["start", "restart", "check"])
def test_a_failure_just_before_a_boot_is_not_held_against_the_release(target: str) -> None:
    play = deployed()
    play.will("web", target, Outcome.FAILED, line="Terminated", seconds=5.0)
    if target == "start":
        play.reboot()
    else:
        play.push("web", "r2")
    play.after(3.0)
    play.crash()
    play.after(10.0)
    play.ran()
    play.reboot()
    release = "r1" if target == "start" else "r2"
    assert play.after(1.7) == [f"start web {release}", f"check web {release}"]
    assert play.word() == "ok"
    assert play.app().record.failures == ()
