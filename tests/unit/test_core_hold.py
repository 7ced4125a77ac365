"""What people ask for: hold and resume."""

from __future__ import annotations

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Outcome
from tests.unit.core_play import HOUR, ROOT, Play, deployed, steps

ENV = "/files/config/common.env"
OK, FAILED, USAGE = 0, 1, 64


@pytest.mark.parametrize("app", ["web", None])
def test_what_is_held_deploys_nothing_new_until_it_is_resumed(app: str | None) -> None:
    play = deployed()
    assert play.hold(app) == OK
    play.push("web", "r2")
    assert play.after(HOUR) == []
    assert play.word() == "held"
    assert "a freeze" in play.view().why
    assert play.resume(app) == OK
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("app", ["web", None])
def test_a_hold_expires_by_the_clock_on_the_wall(app: str | None) -> None:
    play = deployed()
    play.hold(app, seconds=100.0)
    play.push("web", "r2")
    assert play.after(99.0) == []
    assert play.after(10.0) == steps("r2", "install", "restart", "check")
    assert play.word() == "ok"


@pytest.mark.parametrize("app", ["web", None])
def test_a_hold_outlives_the_agent_and_a_boot_and_expires_on_time(app: str | None) -> None:
    play = deployed()
    play.hold(app, seconds=1000.0)
    play.push("web", "r2")
    play.after(100.0)
    play.restart()
    assert play.after(100.0) == []
    play.reboot(down=300.0)
    assert play.after(100.0) == steps("r1", "start")
    assert play.word() == "held"
    assert play.after(1000.0) == steps("r2", "install", "restart", "check")


def test_a_hold_that_ran_out_while_the_machine_was_down_is_over() -> None:
    play = deployed()
    play.hold("web", seconds=60.0)
    play.hold(None, seconds=60.0)
    play.push("web", "r2")
    play.reboot(down=100.0)
    assert play.rest() == steps("r2", "install", "start", "check")
    assert play.disk_hold is None
    assert play.disk["web"].hold is None


def test_what_is_held_starts_under_the_environment_of_now() -> None:
    play = Play(roots=[RootSettings(ROOT, env_files=(ENV,))])
    play.env(ENV, "a=1")
    play.push("web", "r1")
    play.rest()
    play.hold("web")
    play.env(ENV, "a=2")
    assert play.rest() == []
    play.reboot()
    assert play.rest() == steps("r1", "start")
    assert play.disk["web"].applied.running is not None
    assert play.disk["web"].applied.running.conf == play.view().want.version.conf


def test_what_is_held_in_the_middle_of_an_install_starts_what_ran_before_after_a_boot() -> None:
    play = deployed()
    play.will("web", "install", Outcome.FAILED)
    play.push("web", "r2")
    play.after(1.0)
    play.hold("web")
    play.reboot()
    assert play.rest() == steps("r1", "start")


def test_a_held_app_that_is_down_is_tried_for_ever() -> None:
    play = deployed(retry_first=2.0, retry_max=60.0)
    play.hold("web")
    play.always("web", "start", Outcome.FAILED)
    play.reboot()
    assert len(play.times_of("start", HOUR)) > 50


def test_a_hold_lets_a_begun_run_end_and_begins_no_other() -> None:
    play = deployed()
    play.will("web", "install", seconds=20.0)
    play.push("web", "r2")
    play.after(10.0)
    play.hold("web")
    assert play.after(100.0) == []
    assert play.word() == "held"
    play.resume("web")
    assert play.rest() == steps("r2", "restart", "check")


def test_a_held_app_that_is_removed_is_kept_until_it_is_resumed() -> None:
    play = deployed()
    play.hold("web")
    play.remove("web")
    assert play.after(HOUR) == []
    assert play.word() == "held"
    play.resume("web")
    assert play.rest() == steps("r1", "stop")


def test_a_new_app_under_a_hold_on_the_node_waits() -> None:
    play = deployed()
    play.hold(None)
    play.push("shop", "r1")
    assert play.after(HOUR) == []
    play.resume(None)
    assert play.rest() == steps("r1", "install", "start", "check", app="shop")


def test_a_hold_on_the_node_and_one_on_an_app_end_apart() -> None:
    play = deployed()
    play.hold(None)
    play.hold("web")
    play.push("web", "r2")
    assert play.resume("web") == OK
    assert play.after(HOUR) == []
    assert play.resume(None) == OK
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_what_is_not_held_cannot_be_resumed() -> None:
    play = deployed()
    assert play.resume("web") == FAILED
    assert play.resume("nobody") == USAGE
