"""What the core does when a run does not succeed: it retries, or does without."""

from __future__ import annotations

from itertools import pairwise

import pytest

from appagent.model.notices import Level
from appagent.model.words import Outcome
from appagent.report import messages
from tests.unit.core_play import HOUR, Play, deployed, steps

BAD = [Outcome.FAILED, Outcome.TIMEOUT]


def gaps(times: list[float]) -> list[float]:
    return [round(b - a, 3) for a, b in pairwise(times)]


# --- tried again ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["build", "install"])
def test_build_and_install_of_a_running_app_are_tried_again_later_each_time(target: str) -> None:
    play = deployed(retry_first=2.0, retry_max=60.0)
    play.makefile("build", "install", "start", "restart", "check")
    play.always("web", target, Outcome.FAILED, line="no network")
    play.push("web", "r2")
    waits = gaps(play.times_of(target, 600.0))
    assert waits == sorted(waits)
    assert 2.0 <= waits[0] < 3.0
    assert 60.0 <= waits[-1] < 61.0
    assert play.word() == "retrying"
    assert "no network" in play.view().why
    assert play.view().reached is False
    play.always("web", target)
    assert play.rest()[-3:] == steps("r2", "install", "restart", "check")


def test_success_ends_a_backoff() -> None:
    play = deployed(retry_first=2.0)
    play.will("web", "install", *[Outcome.FAILED] * 4)
    play.push("web", "r2")
    play.rest()
    play.will("web", "install", Outcome.FAILED)
    play.push("web", "r3")
    assert gaps(play.times_of("install", 60.0))[0] < 3.0


def test_the_same_trouble_is_told_loudly_once() -> None:
    play = deployed(retry_first=2.0)
    play.will("web", "install", *[Outcome.FAILED] * 4, line="no network")
    play.push("web", "r2")
    play.rest()
    told = [messages.level(f) for f in play.reported if f.fields.get("outcome") == "failed"]
    ends = [level for level in told if level != "info"]
    assert ends == ["error", "warning", "warning", "warning"]


@pytest.mark.parametrize("outcome", BAD)
def test_the_start_of_an_app_that_is_down_is_tried_for_ever(outcome: Outcome) -> None:
    play = deployed(retry_first=2.0, retry_max=60.0)
    play.always("web", "start", outcome)
    play.reboot()
    waits = gaps(play.times_of("start", 2 * HOUR))
    assert waits == sorted(waits)
    assert len(waits) > 100
    play.always("web", "start")
    assert play.rest()[-2:] == steps("r1", "start", "check")


@pytest.mark.parametrize("targets", [("restart",), ("stop", "restart", "install")])
def test_an_app_that_only_knows_restart_is_tried_for_ever_while_it_is_down(
    targets: tuple[str, ...],
) -> None:
    play = Play()
    play.makefile(*targets)
    play.push("web", "r1")
    play.rest()
    play.always("web", "restart", Outcome.FAILED)
    play.reboot()
    play.ran()
    assert len(play.times_of("restart", HOUR)) > 10
    play.always("web", "restart")
    assert play.rest()[-1:] == steps("r1", "restart")


def test_a_newer_release_ends_a_backoff_at_once() -> None:
    play = deployed(retry_first=300.0)
    play.will("web", "install", Outcome.FAILED)
    play.push("web", "r2")
    play.after(10.0)
    play.push("web", "r3")
    assert play.after(10.0) == steps("r3", "install", "restart", "check")


@pytest.mark.parametrize("way", ["trigger", "cancel"])
def test_a_person_ends_a_backoff_at_once(way: str) -> None:
    play = deployed(retry_first=300.0)
    play.will("web", "install", Outcome.FAILED)
    play.push("web", "r2")
    play.after(10.0)
    assert getattr(play, way)("web") == 0
    assert play.after(10.0) == steps("r2", "install", "restart", "check")


def test_what_is_refused_is_tried_again_later() -> None:
    play = deployed(retry_first=2.0, retry_max=300.0)
    play.will("web", "install", Outcome.REFUSED, Outcome.REFUSED, line="not trusted")
    play.push("web", "r2")
    play.after(1.0)
    assert play.word() == "refused"
    assert play.rest() == steps("r2", "install", "restart", "check")


# --- targets that a Makefile lacks ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "first", "change"),
    [
        ("install start restart stop check", "install start check", "install restart check"),
        ("install start restart stop", "install start", "install restart"),
        ("start restart stop check", "start check", "restart check"),
        ("install start stop check", "install start check", "install stop start check"),
        ("install restart stop check", "install restart check", "install restart check"),
        ("start restart", "start", "restart"),
        ("start stop", "start", "stop start"),
        ("start", "start", "start"),
        ("restart", "restart", "restart"),
        ("stop", "", ""),
        ("install", "install", "install"),
        ("check", "check", "check"),
        ("build", "build", "build"),
        ("", "", ""),
    ],
)
def test_a_target_that_is_missing_is_done_without(targets: str, first: str, change: str) -> None:
    play = Play()
    play.makefile(*targets.split())
    play.push("web", "r1")
    assert play.rest() == steps("r1", *first.split())
    assert play.word() == "ok"
    play.push("web", "r2")
    assert play.rest() == steps("r2", *change.split())
    assert play.word() == "ok"
    play.restart()
    assert play.rest() == []
    play.reboot()
    boot = [t for t in first.split() if t not in ("install", "build")]
    assert play.rest() == steps("r2", *boot)
    play.remove("web")
    assert play.rest() == steps("r2", *(["stop"] if "stop" in targets.split() else []))
    assert play.disk == {}


def test_a_target_that_a_newer_release_brings_is_used() -> None:
    play = Play()
    play.makefile("install", "start", "stop")
    play.push("web", "r1")
    play.rest()
    play.makefile("install", "start", "restart", "check")
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


# --- runs that did not run -----------------------------------------------------------------------


def test_a_release_that_moved_is_compared_anew() -> None:
    play = deployed()
    play.will("web", "install", Outcome.MOVED, then=lambda: play.push("web", "r3"))
    play.push("web", "r2")
    assert play.rest() == steps("r3", "install", "restart", "check")


@pytest.mark.parametrize("outcome", [Outcome.MOVED, Outcome.REFUSED, Outcome.BUSY])
def test_a_run_that_called_nothing_is_not_reported_to_have_begun(outcome: Outcome) -> None:
    play = deployed()
    play.will("web", "check", outcome, line="nothing ran: the share did not answer for 30s")
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert len(play.notices("run.ended")) == len(play.notices("run.began")) + 1


def test_what_moved_and_looks_the_same_is_tried_again_soon_then_later() -> None:
    play = deployed()
    play.always("web", "install", Outcome.MOVED)
    play.push("web", "r2")
    waits = gaps(play.times_of("install", 300.0))
    assert waits[0] < 2.0
    assert waits == sorted(waits)
    assert 30.0 <= waits[-1] < 31.0


def test_a_run_beside_a_living_one_is_tried_again_soon_and_told_once() -> None:
    play = deployed()
    play.will("web", "restart", *[Outcome.BUSY] * 4, line="another run still lives")
    play.push("web", "r2")
    waits = gaps(play.times_of("restart", 100.0))
    assert len(waits) == 4
    assert waits[0] < 2.0
    assert waits == sorted(waits)
    loud = [f for f in play.reported if messages.level(f) is Level.WARNING]
    assert len(loud) == 1
    assert play.word() == "ok"
    record = play.app("web").record
    assert (record.failures, record.failed_for) == ((), None)


def test_a_way_back_beside_a_living_run_is_not_given_up() -> None:
    play = deployed()
    play.will("web", "check", Outcome.FAILED)
    play.will("web", "install", Outcome.OK, Outcome.BUSY)
    play.push("web", "r2")
    assert play.rest()[-3:] == steps("r1", "install", "restart", "check")
    assert play.notices("app.no_rollback") == []


def test_a_run_that_is_lost_is_done_again_at_once_and_then_later() -> None:
    play = deployed(retry_first=2.0)
    play.will("web", "restart", *[Outcome.LOST] * 4)
    play.push("web", "r2")
    waits = gaps(play.times_of("restart", 100.0))
    assert len(waits) == 4
    assert waits[0] < 1.0
    assert waits[1] > 2.0
    assert waits == sorted(waits)


def test_a_run_ended_by_an_unknown_hand_is_tried_again_later() -> None:
    play = deployed(retry_first=2.0)
    play.always("web", "install", Outcome.CANCELLED)
    play.push("web", "r2")
    waits = gaps(play.times_of("install", 100.0))
    assert waits[0] > 2.0
    assert waits == sorted(waits)


def test_a_shim_that_cannot_be_started_says_nothing_of_the_version() -> None:
    play = deployed()
    play.push("web", "r2")
    while (run := play.app().run) is None or run.target != "restart":
        play.happen()
    play.not_started("web", "cannot fork")
    assert play.word() == "retrying"
    assert play.rest()[-2:] == steps("r2", "restart", "check")
    assert play.word() == "ok"
