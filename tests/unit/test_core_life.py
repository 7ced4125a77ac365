"""What the core does when an app ends by itself, and when the machine goes down."""

from __future__ import annotations

from typing import Any

import pytest

from appagent.model.events import Alive, ShuttingDown, Trigger
from appagent.model.words import Target
from tests.unit.core_play import Play, deployed


def living(**settings: Any) -> Play:  # noqa: ANN401 - as for Play()
    """An app that was deployed and has processes of its own."""
    play = deployed(**settings)
    lives(play)
    return play


def lives(play: Play) -> None:
    """It is found to have processes, and a moment later it still has."""
    play.feed(Alive("web", 3))
    play.feed(Alive("web", 3))


def ends(play: Play) -> None:
    """All processes of the app end by themselves."""
    play.shims.running.pop("web", None)
    play.feed(Alive("web", 0))


def test_an_app_whose_processes_have_all_ended_is_told_and_left() -> None:
    play = living()
    play.feed(Alive("web", 0))
    assert play.word() == "exited"
    assert play.view().reached is False
    assert "app.exited" in play.notices()
    assert play.rest() == []


def test_it_is_told_once() -> None:
    play = living()
    for _ in range(3):
        play.feed(Alive("web", 0))
    assert play.notices("app.exited") == ["app.exited"]


def test_an_app_that_never_had_processes_is_not_judged() -> None:
    play = deployed()
    play.feed(Alive("web", 0))
    assert play.word() == "ok"
    assert not play.notices("app.exited")


def test_the_last_of_a_run_is_not_taken_for_a_process_of_the_app() -> None:
    """Whatever a run leaves for a moment, once or at each of its deploys."""
    play = deployed()
    for release in ("r2", "r3"):
        play.feed(Alive("web", 1))
        play.push("web", release)
        play.rest()
    play.feed(Alive("web", 1))
    play.feed(Alive("web", 0))
    assert play.word() == "ok"
    assert not play.notices("app.exited")


def test_what_its_start_left_running_is_the_app_however_soon_it_ends() -> None:
    play = Play()
    play.always("web", "start", leaves=True)
    play.push("web", "r1")
    play.rest()
    play.feed(Alive("web", 0))
    assert play.word() == "exited"


def test_an_app_that_has_processes_is_judged_at_once_after_a_restart_too() -> None:
    play = living()
    play.always("web", "restart", leaves=True)
    play.push("web", "r2")
    play.rest()
    play.feed(Alive("web", 0))
    assert play.word() == "exited"


def test_what_a_restart_leaves_says_nothing_of_an_app_that_had_no_processes() -> None:
    play = deployed()
    play.always("web", "restart", leaves=True)
    play.push("web", "r2")
    play.rest()
    play.feed(Alive("web", 0))
    assert play.word() == "ok"


def test_with_on_exit_start_it_is_started_again() -> None:
    play = living(on_exit="start", retry_first=2.0)
    ends(play)
    assert play.rest() == ["start web r1", "check web r1"]
    assert play.word() == "ok"


def test_one_that_exits_again_and_again_is_started_later_each_time() -> None:
    play = living(on_exit="start", retry_first=2.0, retry_max=60.0)
    waits = []
    for _ in range(5):
        ends(play)
        ended = play.now().mono
        waits.append(play.times_of("start", 100.0)[0] - ended)
        play.rest()
        lives(play)
    assert waits == sorted(waits)
    assert waits[-1] > 8 * waits[0]


def test_that_it_exited_is_known_after_a_restart_of_the_agent() -> None:
    play = living()
    play.restart()
    play.rest()
    play.feed(Alive("web", 0))
    assert play.word() == "exited"


def test_a_deploy_begins_to_count_anew() -> None:
    play = living()
    play.push("web", "r2")
    play.rest()
    play.feed(Alive("web", 0))
    assert play.word() == "ok"


def test_an_app_that_a_person_stopped_has_not_exited() -> None:
    play = living()
    play.trigger("web", "stop")
    play.rest()
    play.feed(Alive("web", 0))
    assert play.word() == "stopped"
    assert not play.notices("app.exited")


def test_the_machine_going_down_stops_what_asks_for_it_and_begins_nothing_else() -> None:
    play = deployed(on_shutdown="stop")
    play.feed(ShuttingDown())
    play.push("web", "r2")
    assert play.rest() == ["stop web r1"]


def test_the_machine_going_down_leaves_an_app_alone_that_does_not_ask_for_it() -> None:
    play = deployed()
    play.feed(ShuttingDown())
    play.push("web", "r2")
    assert play.rest() == []


def test_after_the_boot_it_is_started() -> None:
    play = deployed(on_shutdown="stop")
    play.feed(ShuttingDown())
    play.rest()
    play.reboot()
    assert play.rest()[-2:] == ["start web r1", "check web r1"]


def test_what_has_exited_is_started_as_soon_as_the_configuration_says_so() -> None:
    play = living(on_exit="report", retry_first=2.0)
    ends(play)
    assert play.after(60.0) == []
    play.configure(on_exit="start")
    assert play.after(2.0) == ["start web r1", "check web r1"]
    assert play.word() == "ok"


def test_a_configuration_does_not_shorten_the_wait_of_what_exits_again_and_again() -> None:
    play = living(on_exit="start", retry_first=10.0)
    ends(play)
    play.configure(on_exit="start")
    assert play.after(9.0) == []
    assert play.after(2.0) == ["start web r1", "check web r1"]


@pytest.mark.parametrize("target", ["", "install", "restart", "start"])
def test_a_trigger_while_the_machine_is_shutting_down_is_refused(target: str) -> None:
    play = deployed()
    play.feed(ShuttingDown())
    answer = play.ask(Trigger("web", Target(target) if target else None, "ann"))
    assert answer.code == 75
    assert "the machine shuts down" in answer.text
    play.reboot()
    assert play.rest() == ["start web r1", "check web r1"]


def test_a_stop_while_the_machine_is_shutting_down_is_done_and_lasts() -> None:
    play = deployed()
    play.feed(ShuttingDown())
    assert play.trigger("web", "stop") == 0
    assert play.after(5.0) == ["stop web r1"]
    play.reboot()
    assert play.rest() == []
    assert play.word() == "stopped"
