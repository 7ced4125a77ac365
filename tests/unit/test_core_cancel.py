"""What people ask for: cancel, and forget."""

from __future__ import annotations

from typing import Any

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout
from tests.unit.core_play import HOUR, ROOT, Play, deployed, steps

ENV = "/files/config/common.env"
OK, FAILED, USAGE = 0, 1, 64


def cancelled(target: str = "install", **changes: Any) -> Play:  # noqa: ANN401 - as for Play()
    """A person cancelled the way from r1 to r2."""
    play = Play(roots=[RootSettings(ROOT, env_files=(ENV,))], **changes)
    play.makefile("build", "install", "start", "restart", "check")
    play.env(ENV, "a=1")
    play.push("web", "r1")
    play.rest()
    play.will("web", target, seconds=500.0)
    play.push("web", "r2")
    play.after(10.0)
    assert play.cancel("web") == OK
    assert play.after(HOUR) == []
    return play


@pytest.mark.parametrize("target", ["build", "install"])
def test_what_is_cancelled_is_left_alone_and_that_can_be_seen(target: str) -> None:
    play = cancelled(target)
    assert (play.word(), play.view().reached) == ("cancelled", False)
    assert "by ann" in play.view().why
    assert "appagent trigger web" in play.view().why
    play.restart()
    assert play.after(HOUR) == []
    assert play.word() == "cancelled"


def test_a_trigger_goes_on_with_what_was_cancelled() -> None:
    play = cancelled()
    assert play.trigger("web") == OK
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.disk["web"].cancelled is None


def test_a_new_release_goes_past_what_was_cancelled_and_its_return_begins_afresh() -> None:
    play = cancelled()
    play.push("web", "r3")
    assert play.rest() == steps("r3", "build", "install", "restart", "check")
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_a_change_of_the_environment_goes_on_with_what_was_cancelled() -> None:
    play = cancelled()
    play.env(ENV, "a=2")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_what_ran_before_the_cancelled_release_starts_after_a_boot() -> None:
    play = cancelled()
    play.reboot()
    assert play.rest() == steps("r1", "start")
    assert play.word() == "cancelled"


def test_a_new_app_that_is_cancelled_is_left_alone() -> None:
    play = Play()
    play.will("web", "install", seconds=500.0)
    play.push("web", "r1")
    play.after(10.0)
    assert play.cancel("web") == OK
    assert play.after(HOUR) == []
    assert play.word() == "cancelled"
    play.reboot()
    assert play.after(HOUR) == []
    play.trigger("web")
    assert play.rest() == steps("r1", "install", "start", "check")


def test_what_is_pushed_over_a_cancelled_release_is_settling_until_it_is_complete() -> None:
    play = deployed(layout=Layout.TREE, settle=2.0)
    play.will("web", "install", seconds=500.0)
    play.push("web", "r2")
    play.after(10.0)
    play.cancel("web")
    play.after(10.0)
    assert play.word() == "cancelled"
    play.push("web", "r3")
    assert (play.word(), play.view().reached) == ("settling", None)
    assert play.rest() == steps("r3", "install", "restart", "check")


def test_cancel_ends_nothing_else() -> None:
    play = deployed()
    assert play.cancel("web") == FAILED
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    assert play.cancel("web") == FAILED
    assert play.rest() == steps("r2", "check")
    assert play.cancel("nobody") == USAGE


def test_a_cancelled_run_is_ended_even_if_the_agent_dies_over_it() -> None:
    for commands in range(6):
        play = deployed(retry_first=30.0)
        play.will("web", "install", seconds=500.0)
        play.push("web", "r2")
        play.after(10.0)
        play.crash_in = commands
        play.cancel("web")
        play.crash()
        play.start_agent()
        play.push("web", "r3")
        assert play.after(20.0)[-3:] == steps("r3", "install", "restart", "check"), commands


@pytest.mark.parametrize("layout", [Layout.SYMLINK, Layout.TREE])
def test_forget_during_a_run_waits_for_it(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    play.remove("web")
    assert play.forget("web") == OK
    assert play.rest()[-1:] == steps("r2", "stop")
    assert play.disk == {}


def test_what_is_asked_for_during_a_check_is_told_as_asked_for() -> None:
    play = deployed()
    play.always("web", "check", seconds=20.0)
    play.push("web", "r2")
    assert play.after(10.0) == steps("r2", "install", "restart", "check")
    assert play.trigger("web", "start") == OK
    assert play.rest() == steps("r2", "start", "check")
    assert "asked by ann" in play.text("deploy.began")
