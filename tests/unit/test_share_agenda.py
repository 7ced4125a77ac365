"""What is due when."""

from __future__ import annotations

import threading
import time

import pytest

from appagent.share.scheduler import Agenda, Burst, Jitter, Span
from tests.waiting import until


def test_things_are_taken_in_the_order_in_which_they_are_due() -> None:
    agenda: Agenda[str] = Agenda()
    now = time.monotonic()
    agenda.sooner("later", now + 100)
    agenda.sooner("b", now - 1)
    agenda.sooner("a", now - 2)
    agenda.sooner("c", now - 1)
    assert [agenda.take(0) for _ in range(4)] == ["a", "b", "c", None]


def test_a_thing_is_there_once_and_only_gets_sooner() -> None:
    agenda: Agenda[str] = Agenda()
    now = time.monotonic()
    agenda.sooner("a", now + 100)
    agenda.sooner("a", now - 1)
    agenda.sooner("a", now + 50)
    assert agenda.take(0) == "a"
    assert agenda.take(0) is None


def test_what_is_dropped_is_not_taken() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.sooner("a", 0.0)
    agenda.drop("a")
    assert agenda.take(0) is None
    agenda.sooner("a", 0.0)
    assert agenda.take(0) == "a"


def test_ringing_and_waking_end_a_wait() -> None:
    agenda: Agenda[str] = Agenda()
    taken: list[str | None] = []
    agenda.sooner("far", time.monotonic() + 1000)

    def take() -> None:
        taken.append(agenda.take(1000))
        taken.append(agenda.take(1000))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    agenda.sooner("now", 0.0)
    until(lambda: taken == ["now"])
    agenda.wake()
    until(lambda: taken == ["now", None])
    thread.join()


def test_a_wake_before_the_wait_is_not_lost() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.wake()
    assert agenda.take(1000) is None


def test_of_what_is_due_the_lowest_rank_comes_first_and_what_has_none_stays() -> None:
    agenda: Agenda[str] = Agenda()
    now = time.monotonic()
    for number, key in enumerate(("left", "b", "c", "hurry")):
        agenda.sooner(key, now - 10 + number)
    agenda.sooner("hurry later", now + 1000)
    ranks = {"b": 1, "c": 1, "hurry": 0, "hurry later": 0}
    assert [agenda.take(0, ranks.get) for _ in range(4)] == ["hurry", "b", "c", None]
    assert agenda.take(0) == "left"


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
    agenda: Agenda[str] = Agenda()
    now = time.monotonic()
    agenda.sooner("may wait", Span(now - 2, now + 1000))
    agenda.sooner("may wait too", Span(now - 1, now + 1000))
    agenda.sooner("not yet", Span(now + 500, now + 1000))
    assert agenda.take(0) is None
    agenda.sooner("has to be", Span(now - 3, now - 3))
    assert [agenda.take(0) for _ in range(4)] == ["has to be", "may wait", "may wait too", None]


def test_what_is_put_off_while_awake_waits_for_the_next_time() -> None:
    agenda: Agenda[str] = Agenda()
    now = time.monotonic()
    agenda.sooner("a", now - 1)
    agenda.sooner("b", Span(now - 1, now + 1000))
    assert agenda.take(0) == "a"
    agenda.sooner("a", Span(time.monotonic(), now + 1000))
    assert [agenda.take(0), agenda.take(0)] == ["b", None]


def test_ringing_shortens_a_wait_and_never_makes_it_longer() -> None:
    agenda: Agenda[str] = Agenda()
    now = time.monotonic()
    agenda.sooner("a", Span(now - 1, now + 1000))
    agenda.sooner("a", Span(now + 500, now + 2000))
    assert agenda.take(0) is None
    agenda.sooner("a", Span(now + 500, now))
    assert agenda.take(0) == "a"


def test_looks_are_spread_by_a_tenth() -> None:
    jitter = Jitter()
    spans = [jitter(100.0, 10.0) for _ in range(1000)]
    firsts = [span.first for span in spans]
    assert 109.0 <= min(firsts) < 109.1
    assert 109.9 < max(firsts) <= 110.0
    assert max(span.last for span in spans) <= 111.0
    assert min(span.last - span.first for span in spans) > 0.99
