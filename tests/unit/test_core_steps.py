"""What the core makes of runs that go on to the first step that the Makefile has."""

from __future__ import annotations

from appagent.model.events import Alive
from appagent.model.words import Outcome, Target
from appagent.report import messages
from tests.unit.core_play import HOUR, Play, deployed, steps


def began(play: Play) -> list[str]:
    """The targets that were told when make was called."""
    return [str(notice.fields["target"]) for notice in play.reported if notice.kind == "run.began"]


def test_a_target_that_is_missing_costs_no_run_and_is_in_no_notice() -> None:
    play = deployed()
    assert began(play) == ["install", "start", "check"]
    assert len(play.shims.shims) == 3
    assert not any("build" in messages.text(notice) for notice in play.reported)
    assert play.text("run.began") == "web: make check (new release)"


def test_status_names_the_step_that_was_found() -> None:
    play = deployed()
    play.will("web", "install", seconds=60.0)
    play.push("web", "r2")
    play.after(5.0)
    assert play.view().why == "make install: new release"
    run = play.app().record.run
    assert run is not None
    assert (run.target, run.then) == (Target.INSTALL, ())
    assert run.timeout == play.settings_of("web", {}).timeout[Target.INSTALL]


def test_the_record_says_the_same_as_if_it_had_been_begun_for_that_step() -> None:
    """So that whoever finds it counts nothing as done that is half done."""
    play = deployed()
    play.will("web", "install", seconds=60.0)
    play.push("web", "r2")
    play.after(5.0)
    assert play.disk["web"].applied.installed == ""


def test_of_a_run_that_left_no_result_nothing_counts_that_it_may_have_begun() -> None:
    """Its shim was killed before it said which step it had found."""
    play = deployed()
    play.shims.slow = 5.0
    play.push("web", "r2")
    play.after(5.0)
    run = play.app().record.run
    assert run is not None
    assert run.target is Target.BUILD
    play.shims.over(run.id, Outcome.LOST)
    assert play.rest()[-3:] == steps("r2", "install", "restart", "check")


def test_an_agent_that_comes_later_learns_it_from_the_end() -> None:
    play = deployed()
    play.will("web", "install", seconds=60.0)
    play.push("web", "r2")
    while play.app().record.run is None:
        play.happen()
    play.crash()  # before it hears which step was found
    play.until(play.mono + 100.0)
    play.start_agent()
    assert play.rest() == steps("r2", "install", "restart", "check")
    assert play.word() == "ok"


def test_a_newer_release_ends_no_restart_that_a_run_has_come_to() -> None:
    play = Play()
    play.makefile("start", "restart")
    play.push("web", "r1")
    play.rest()
    play.will("web", "restart", seconds=20.0)
    play.push("web", "r2")
    assert play.after(5.0) == steps("r2", "restart")
    play.push("web", "r3")
    assert play.after(10.0) == []
    assert play.rest() == steps("r3", "restart")
    assert "run.cancelled" not in play.notices()


def test_a_lease_for_one_step_takes_a_run_to_no_other_that_needs_one() -> None:
    play = deployed()
    play.permits = False
    play.push("web", "r2")
    play.permit("web")
    assert play.rest() == []
    asking = play.app().attempt.asking
    assert asking is not None
    assert asking.step is Target.INSTALL


# --- start and restart ---------------------------------------------------------------------------


def test_without_a_restart_one_run_stops_and_starts() -> None:
    play = Play()
    play.makefile("install", "start", "stop")
    play.push("web", "r1")
    play.rest()
    before = len(play.shims.shims)
    play.push("web", "r2")
    assert play.rest() == steps("r2", "install", "stop", "start")
    assert len(play.shims.shims) == before + 2  # what is missing is known by now
    assert play.text("run.began") == "web: make stop and start (new release)"
    assert play.word() == "ok"


def test_an_app_whose_start_fails_after_the_stop_is_tried_for_ever() -> None:
    """It is down then, though a restart was what was wanted."""
    play = Play()
    play.makefile("install", "start", "stop")
    play.push("web", "r1")
    play.rest()
    play.always("web", "start", Outcome.FAILED)
    play.configure(on_failure="leave")
    play.push("web", "r2")
    assert len(play.times_of("start", HOUR)) > 10
    play.always("web", "start")
    assert play.rest()[-1:] == steps("r2", "start")
    assert play.word() == "ok"


def test_a_stop_that_fails_is_a_restart_that_failed() -> None:
    play = Play()
    play.makefile("install", "start", "stop")
    play.push("web", "r1")
    play.rest()
    play.will("web", "stop", Outcome.FAILED)
    play.push("web", "r2")
    assert play.rest()[:2] == steps("r2", "install", "stop")
    assert "restart of r2 failed" in play.text("deploy.failed")


def test_one_that_exits_again_and_again_waits_longer_though_it_has_only_a_restart() -> None:
    play = Play(on_exit="start", retry_first=2.0, retry_max=60.0)
    play.makefile("install", "restart")
    play.always("web", "restart", leaves=True)
    play.push("web", "r1")
    play.rest()
    waits = []
    for _ in range(5):
        play.shims.running.pop("web", None)
        play.feed(Alive("web", 0))
        waits.append(play.times_of("restart", 100.0)[0] - play.mono + 100.0)
        play.rest()
    assert waits == sorted(waits)
    assert waits[-1] > 8 * waits[0]


def test_what_needs_no_process_is_good_whenever_the_agent_dies() -> None:
    for commands in range(20):
        play = Play()
        play.makefile("install")
        play.crash_in = commands
        play.push("web", "r1")
        play.rest()
        play.restart()
        play.rest()
        assert play.word() == "ok"
