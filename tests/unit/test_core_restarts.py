"""Boots, restarts of the agent, and lost records: nothing is lost or run twice."""

from __future__ import annotations

import pytest

from appagent.model.words import Layout, Outcome
from tests.unit.core_play import Play, deployed, steps

LAYOUTS = [pytest.param(layout, id=layout.value) for layout in Layout]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_after_a_boot_apps_are_started_and_not_installed(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.reboot()
    assert play.rest() == steps("r1", "start", "check")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_agent_that_is_started_again_with_nothing_changed_runs_nothing(layout: Layout) -> None:
    play = deployed(layout=layout)
    play.restart()
    assert play.rest() == []
    assert play.word() == "ok"


def test_a_change_while_the_agent_is_away_is_deployed_when_it_is_back() -> None:
    play = deployed()
    play.crash()
    play.push("web", "r2")
    play.after(100.0)
    play.start_agent()
    assert play.rest() == steps("r2", "install", "restart", "check")


@pytest.mark.parametrize("target", ["install", "restart", "check"])
def test_a_run_that_outlives_the_agent_is_adopted_and_its_outcome_used(target: str) -> None:
    play = deployed()
    play.always("web", target, seconds=20.0)
    play.push("web", "r2")
    play.after(5.0)
    play.restart()
    assert [run for run in play.rest() if run == f"{target} web r2"] == []
    assert play.word() == "ok"


def test_the_result_of_a_run_that_ended_while_the_agent_was_away_is_used() -> None:
    play = deployed()
    play.push("web", "r2")
    play.will("web", "restart", Outcome.OK, seconds=10.0)
    assert play.after(5.0) == steps("r2", "install", "restart")
    play.crash()
    play.after(60.0)
    play.start_agent()
    assert play.rest() == steps("r2", "check")


def story(play: Play) -> list[tuple[str, object]]:
    """What was told of deploys, each with the name of the deploy."""
    return [(f.kind, f.fields["deploy_id"]) for f in play.reported if f.kind.startswith("deploy.")]


@pytest.mark.parametrize("moment", [0.5, 5.0, 15.0, 25.0, 60.0])
def test_a_deploy_is_one_over_a_restart_of_the_agent(moment: float) -> None:
    play = deployed()
    play.reported.clear()
    for target in ("install", "restart", "check"):
        play.always("web", target, seconds=10.0)
    play.push("web", "r2")
    play.after(moment)
    play.restart()
    play.rest()
    kinds = ["deploy.seen", "deploy.settled", "deploy.began", "deploy.done"]
    assert [kind for kind, _ in story(play)] == kinds
    assert len({deploy for _, deploy in story(play)}) == 1
    (done,) = [notice for notice in play.reported if notice.kind == "deploy.done"]
    assert 30_000 <= int(done.fields["run_ms"]) <= 40_000  # from its begin, not from the restart


def test_a_deploy_that_waits_for_another_try_is_one_over_a_restart_of_the_agent() -> None:
    play = deployed(retry_first=60.0, retry_max=60.0)
    play.reported.clear()
    play.will("web", "install", Outcome.FAILED)
    play.push("web", "r2")
    play.after(20.0)
    play.restart()
    play.rest()
    assert len({deploy for _, deploy in story(play)}) == 1
    assert story(play)[-1][0] == "deploy.done"


def test_a_deploy_that_is_overtaken_while_the_agent_is_away_is_told_so() -> None:
    play = deployed()
    play.reported.clear()
    play.will("web", "install", seconds=50.0)
    play.push("web", "r2")
    play.after(5.0)
    play.crash()
    play.push("web", "r3")
    play.start_agent()
    play.rest()
    last = {deploy: kind for kind, deploy in story(play)}
    assert sorted(last.values()) == ["deploy.done", "deploy.superseded"]


def test_a_boot_cuts_a_deploy_off() -> None:
    play = deployed()
    play.reported.clear()
    play.will("web", "install", seconds=50.0)
    play.push("web", "r2")
    play.after(5.0)
    play.reboot()
    play.rest()
    last = {deploy: kind for kind, deploy in story(play)}
    assert sorted(last.values()) == ["deploy.began", "deploy.done"]


def test_a_failure_while_the_agent_was_away_is_not_repeated() -> None:
    play = deployed(on_failure="leave")
    play.push("web", "r2")
    play.will("web", "restart", Outcome.FAILED, seconds=10.0)
    play.after(5.0)
    play.crash()
    play.after(60.0)
    play.start_agent()
    assert play.rest() == []
    assert play.word() == "failed"


def test_an_app_whose_record_is_lost_is_installed_and_restarted_not_started_twice() -> None:
    play = deployed()
    play.disk.clear()
    play.restart(lost=["web"])
    assert play.rest() == steps("r1", "install", "restart", "check")


def test_an_app_whose_record_is_lost_and_that_is_nowhere_is_left_alone() -> None:
    play = deployed()
    play.disk.clear()
    play.crash()
    play.remove("web")
    play.start_agent(lost=["web"])
    assert play.rest() == []


def test_a_run_cut_off_by_a_boot_is_done_again() -> None:
    play = deployed()
    play.push("web", "r2")
    play.will("web", "install", seconds=50.0)
    play.after(5.0)
    play.reboot()
    assert play.rest() == steps("r2", "install", "start", "check")
