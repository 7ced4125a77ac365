"""A release that fails here: it is not retried blindly, and the last good one comes back."""

from __future__ import annotations

import pytest

from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Outcome
from tests.unit.core_play import ROOT, Play, deployed, steps

ENV = "/files/config/common.env"
BAD = [Outcome.FAILED, Outcome.TIMEOUT]


@pytest.mark.parametrize("outcome", BAD)
@pytest.mark.parametrize("target", ["restart", "check"])
def test_a_release_that_fails_leads_back_to_the_last_good_one(
    target: str, outcome: Outcome
) -> None:
    play = deployed()
    play.will("web", target, outcome, line="no")
    play.push("web", "r2")
    ran = play.rest()
    assert ran[-3:] == steps("r1", "install", "restart", "check")
    assert ran.count(f"{target} web r2") == 1
    assert play.word() == "rolled-back"
    assert play.view().reached is False
    assert "deploy.failed" in play.notices()
    assert "r1" in play.text("deploy.failed")


def test_a_failure_is_not_repeated_by_a_new_agent_or_a_boot() -> None:
    play = deployed()
    play.will("web", "check", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    play.restart()
    assert play.rest() == []
    assert play.word() == "rolled-back"
    play.reboot()
    assert play.rest() == steps("r1", "start", "check")


@pytest.mark.parametrize("layout", [Layout.GIT, Layout.TREE])
def test_without_old_files_there_is_no_way_back(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.will("web", "restart", Outcome.FAILED)
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart")
    assert play.word() == "failed"
    assert play.view().reached is False
    play.restart()
    assert play.rest() == []


def test_on_failure_leave_leaves_it() -> None:
    play = deployed(on_failure="leave")
    play.will("web", "check", Outcome.FAILED)
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.word() == "failed"


def test_the_first_release_has_no_way_back() -> None:
    play = Play()
    play.will("web", "check", Outcome.FAILED)
    play.push("web", "r1")
    assert play.rest() == steps("r1", "install", "start", "check")
    assert play.word() == "failed"


def test_a_changed_environment_that_fails_has_no_way_back() -> None:
    play = Play(roots=[RootSettings(ROOT, env_files=(ENV,))])
    play.env(ENV, "a=1")
    play.push("web", "r1")
    play.rest()
    play.will("web", "restart", Outcome.FAILED)
    play.env(ENV, "a=2")
    assert play.rest() == steps("r1", "restart")
    assert play.word() == "failed"
    play.env(ENV, "a=3")
    assert play.rest() == steps("r1", "restart", "check")


def test_a_release_that_was_good_for_a_moment_is_the_way_back() -> None:
    play = deployed()
    play.will("web", "check", Outcome.OK, Outcome.FAILED, seconds=10.0)
    play.push("web", "r2")
    play.after(5.0)
    play.push("web", "r3")
    assert play.rest()[-3:] == steps("r2", "install", "restart", "check")
    assert play.notices("deploy.done") == ["deploy.done"] * 3


def test_a_way_back_that_fails_too_is_not_repeated() -> None:
    play = deployed()
    play.will("web", "restart", Outcome.FAILED, Outcome.FAILED)
    play.push("web", "r2")
    assert play.rest() == [
        *steps("r2", "install", "restart"),
        *steps("r1", "install", "restart"),
    ]
    assert play.word() == "failed"


def test_a_way_back_whose_directory_is_gone_is_none() -> None:
    play = deployed()
    play.will("web", "check", Outcome.FAILED)
    play.will("web", "install", Outcome.OK, Outcome.MOVED, line="r1 is not there")
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.word() == "failed"
    assert play.notices("app.no_rollback") == ["app.no_rollback"]
    play.push("web", "r3")
    assert play.rest() == steps("r3", "install", "restart", "check")


def test_a_way_back_whose_install_fails_is_tried_again() -> None:
    play = deployed(retry_first=2.0)
    play.will("web", "check", Outcome.FAILED)
    play.will("web", "install", Outcome.OK, Outcome.FAILED)
    play.push("web", "r2")
    assert play.rest()[-3:] == steps("r1", "install", "restart", "check")


def failed_release() -> Play:
    play = deployed()
    play.will("web", "check", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    assert play.word() == "rolled-back"
    return play


def test_a_newer_release_clears_a_failure() -> None:
    play = failed_release()
    play.push("web", "r3")
    assert play.rest() == steps("r3", "install", "restart", "check")
    assert play.word() == "ok"


def test_the_same_release_swapped_away_and_back_is_tried_again() -> None:
    play = failed_release()
    play.push("web", "r1")
    assert play.rest() == []
    assert play.word() == "ok"
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_a_changed_environment_clears_a_failure() -> None:
    play = Play(roots=[RootSettings(ROOT, env_files=(ENV,))])
    play.env(ENV, "a=1")
    play.push("web", "r1")
    play.rest()
    play.will("web", "check", Outcome.FAILED)
    play.push("web", "r2")
    play.rest()
    play.env(ENV, "a=2")
    assert play.rest() == steps("r2", "install", "restart", "check")


def test_a_trigger_clears_a_failure() -> None:
    play = failed_release()
    assert play.trigger("web") == 0
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.word() == "ok"


def test_trouble_of_the_share_does_not_clear_a_failure() -> None:
    play = failed_release()
    play.after(100.0)
    play.root_trouble("ENOTCONN")
    play.after(100.0)
    play.root_trouble("")
    assert play.rest() == []
    assert play.word() == "rolled-back"


def test_a_failure_of_what_was_overtaken_meanwhile_blames_nothing() -> None:
    play = deployed()
    play.will("web", "restart", Outcome.FAILED, seconds=10.0)
    play.push("web", "r2")
    play.after(5.0)
    play.push("web", "r3")
    assert play.rest() == steps("r3", "install", "restart", "check")
    assert play.word() == "ok"


def test_a_start_that_fails_after_a_stop_leads_back_too() -> None:
    play = deployed()
    play.makefile("install", "start", "stop", "check")
    play.will("web", "start", Outcome.FAILED)
    play.push("web", "r2")
    assert play.rest() == [
        *steps("r2", "install"),
        *steps("r2", "stop", "start"),
        *steps("r1", "install", "start", "check"),
    ]
