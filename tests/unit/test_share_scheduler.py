"""What is due when."""

from __future__ import annotations

import threading
import time

import pytest

from appagent.share.scheduler import Burst, Jitter, Schedule, Window
from tests.waiting import until


def test_things_are_taken_in_the_order_in_which_they_are_due() -> None:
    schedule: Schedule[str] = Schedule()
    now = time.monotonic()
    schedule.sooner("later", now + 100)
    schedule.sooner("b", now - 1)
    schedule.sooner("a", now - 2)
    schedule.sooner("c", now - 1)
    assert [schedule.take(0) for _ in range(4)] == ["a", "b", "c", None]


def test_a_thing_is_there_once_and_only_gets_sooner() -> None:
    schedule: Schedule[str] = Schedule()
    now = time.monotonic()
    schedule.sooner("a", now + 100)
    schedule.sooner("a", now - 1)
    schedule.sooner("a", now + 50)
    assert schedule.take(0) == "a"
    assert schedule.take(0) is None


def test_what_is_dropped_is_not_taken() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.sooner("a", 0.0)
    schedule.drop("a")
    assert schedule.take(0) is None
    schedule.sooner("a", 0.0)
    assert schedule.take(0) == "a"


def test_ringing_and_waking_end_a_wait() -> None:
    schedule: Schedule[str] = Schedule()
    taken: list[str | None] = []
    schedule.sooner("far", time.monotonic() + 1000)

    def take() -> None:
        taken.append(schedule.take(1000))
        taken.append(schedule.take(1000))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    schedule.sooner("now", 0.0)
    until(lambda: taken == ["now"])
    schedule.wake()
    until(lambda: taken == ["now", None])
    thread.join()


def test_a_wake_before_the_wait_is_not_lost() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.wake()
    assert schedule.take(1000) is None


def test_of_what_is_due_the_lowest_rank_comes_first_and_what_has_none_stays() -> None:
    schedule: Schedule[str] = Schedule()
    now = time.monotonic()
    for number, key in enumerate(("left", "b", "c", "hurry")):
        schedule.sooner(key, now - 10 + number)
    schedule.sooner("hurry later", now + 1000)
    ranks = {"b": 1, "c": 1, "hurry": 0, "hurry later": 0}
    assert [schedule.take(0, ranks.get) for _ in range(4)] == ["hurry", "b", "c", None]
    assert schedule.take(0) == "left"


def test_a_few_polls_go_at_once_and_then_one_for_each_interval() -> None:
    burst = Burst(4, 0.01)
    now = began = 1000.0
    polls = []
    while now < began + 100.0:  # events all the time
        due = burst.due(now, 0.25)
        now = max(now, due.last)
        burst.spend(now, 0.25)
        polls.append(now - began)
    assert polls[:4] == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert polls[4] >= 0.25
    assert len(polls) <= 100.0 / 0.25 + 5


def test_after_a_quiet_time_a_few_polls_are_free_again() -> None:
    burst = Burst(4, 0.01)
    for _ in range(10):
        burst.spend(1000.0, 0.25)
    assert burst.due(1000.0, 0.25).first == 1000.25
    assert burst.due(2000.0, 0.25).first <= 2000.0


def test_who_is_awake_takes_all_that_may_be_taken() -> None:
    schedule: Schedule[str] = Schedule()
    now = time.monotonic()
    schedule.sooner("may wait", Window(now - 2, now + 1000))
    schedule.sooner("may wait too", Window(now - 1, now + 1000))
    schedule.sooner("not yet", Window(now + 500, now + 1000))
    assert schedule.take(0) is None
    schedule.sooner("has to be", Window(now - 3, now - 3))
    assert [schedule.take(0) for _ in range(4)] == ["has to be", "may wait", "may wait too", None]


def test_what_is_put_off_while_awake_waits_for_the_next_time() -> None:
    schedule: Schedule[str] = Schedule()
    now = time.monotonic()
    schedule.sooner("a", now - 1)
    schedule.sooner("b", Window(now - 1, now + 1000))
    assert schedule.take(0) == "a"
    schedule.sooner("a", Window(time.monotonic(), now + 1000))
    assert [schedule.take(0), schedule.take(0)] == ["b", None]


def test_ringing_shortens_a_wait_and_never_makes_it_longer() -> None:
    schedule: Schedule[str] = Schedule()
    now = time.monotonic()
    schedule.sooner("a", Window(now - 1, now + 1000))
    schedule.sooner("a", Window(now + 500, now + 2000))
    assert schedule.take(0) is None
    schedule.sooner("a", Window(now + 500, now))
    assert schedule.take(0) == "a"


def test_looks_are_spread_by_a_tenth() -> None:
    jitter = Jitter()
    spans = [jitter(100.0, 10.0) for _ in range(1000)]
    firsts = [span.first for span in spans]
    assert 109.0 <= min(firsts) < 109.1
    assert 109.9 < max(firsts) <= 110.0
    assert max(span.last for span in spans) <= 111.0
    assert min(span.last - span.first for span in spans) > 0.99
