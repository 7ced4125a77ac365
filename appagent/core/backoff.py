"""How long to wait before a step is tried again, and how a tree that never rests is slowed."""

from __future__ import annotations

from dataclasses import replace

from appagent.core.state import Churn

CHURN_WINDOW = 600.0  # s in which deploys of a tree are counted
CHURN_FREE = 3  # so many are free
CHURN_FIRST = 10.0  # s of the first wait; each further one is twice as long
CHURN_MAX = 3600.0


def delay(first: float, most: float, attempts: int) -> float:
    """Seconds before attempt number `attempts` + 1: doubled each time, up to `most`."""
    return float(min(most, first * 2.0 ** min(max(attempts - 1, 0), 40)))


def churn_delay(level: int) -> float:
    """Seconds that a churning tree waits at this level (1 is the first wait)."""
    return min(CHURN_MAX, CHURN_FIRST * 2.0 ** min(max(level - 1, 0), 20))


def churn_until(churn: Churn, now: float) -> float:
    """When the next deploy of a tree may begin, on the monotonic clock; `now` or before: at once.

    A tree that deployed more than CHURN_FREE times within CHURN_WINDOW waits longer each time;
    one that then rested for the window and the wait is free again.
    """
    recent = [t for t in churn.times if now - t < CHURN_WINDOW + churn_delay(churn.level)]
    if len(recent) < CHURN_FREE:
        return now
    return recent[-1] + churn_delay(churn.level + 1)


def churned(churn: Churn, now: float) -> Churn:
    """The same after one more deploy has begun."""
    span = CHURN_WINDOW + churn_delay(churn.level)
    recent = tuple(t for t in churn.times if now - t < span)
    level = churn.level + 1 if len(recent) >= CHURN_FREE else 0
    return replace(churn, times=(*recent, now)[-20:], level=level)
