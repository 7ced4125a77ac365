"""What people ask for: hold, resume, stop, trigger, cancel."""

from __future__ import annotations

from typing import Any

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import HOUR, ROOT, Play, deployed

ENV = "/files/config/common.env"
OK, FAILED, USAGE, LATER = 0, 1, 64, 75


def steps(release: str, *targets: str, app: str = "web") -> list[str]:
    return [f"{target} {app} {release}" for target in targets]


# --- hold ----------------------------------------------------------------------------------------


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


# --- stop ----------------------------------------------------------------------------------------


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


# --- trigger -------------------------------------------------------------------------------------


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


# --- cancel --------------------------------------------------------------------------------------


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
