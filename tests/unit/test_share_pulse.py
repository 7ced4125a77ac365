"""What an operation takes, and what of that it hung: scanning pays for work alone."""

from __future__ import annotations

import pytest

from appagent.share.disk import Pulse


def test_what_hung_is_told_apart_from_what_was_done() -> None:
    clock = [100.0]
    it = Pulse(lambda: clock[0])
    for seconds in (0.1, 1.5, 79.0, 0.5, 30.0):
        it.begin("listing", "/files")
        clock[0] += seconds
    it.rest()
    clock[0] += 500.0  # resting is no hanging
    it.rest()
    it.begin("listing", "/files")
    assert it.hung == pytest.approx(77.0 + 28.0)
