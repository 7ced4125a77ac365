"""Looks for those who wait: shared, bounded, never lost."""

from __future__ import annotations

from appagent.core.freshness import Subject
from appagent.daemon.recheck import GAP, RATE, RETRY, SAVED, Rechecks

WEB = Subject("/files", "web")


def rechecks() -> Rechecks:
    """Nobody has asked so far."""

    def send(*_: object) -> None:
        raise AssertionError("only a loop sends")

    made = Rechecks(send)
    made.at = 0.0
    return made


def test_asks_for_one_place_within_a_short_time_share_one_look() -> None:
    it = rechecks()
    it.note(WEB, 10.0, 10.0)
    assert it.take(10.0) == [WEB]
    it.note(WEB, 10.1, 10.1)
    it.note(WEB, 10.2, 10.2)
    assert it.take(10.2) == []
    assert it.take(10.0 + GAP) == [WEB]  # it begins after all who asked
    it.note(WEB, 10.2, 11.0)
    assert it.take(11.0) == []  # that was asked for already


def test_what_is_not_answered_is_asked_for_again() -> None:
    it = rechecks()
    it.note(WEB, 10.0, 10.0)
    it.take(10.0)
    it.note(WEB, 10.0, 9.9 + RETRY)
    assert it.take(9.9 + RETRY) == []
    it.note(WEB, 10.0, 10.0 + RETRY)
    assert it.take(10.0 + RETRY) == [WEB]


def test_what_no_watcher_took_is_asked_for_again_at_once() -> None:
    it = rechecks()
    it.note(WEB, 10.0, 10.0)
    it.take(10.0)
    it.lost([WEB])
    it.note(WEB, 10.0, 10.1)
    assert it.take(10.1) == [WEB]


def test_however_many_places_are_named_the_looks_in_a_minute_are_bounded() -> None:
    it = rechecks()
    asked = 0
    for tick in range(600):
        now = 10.0 + tick / 10
        for number in range(3000):
            it.note(Subject("/files", f"app{number}"), now, now)
        asked += len(it.take(now))
    assert asked <= SAVED + 61 * RATE
    assert len(it.due) <= 3000
