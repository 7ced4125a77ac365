"""How long to wait before a step is retried, and how a tree that keeps changing is slowed."""

from __future__ import annotations

from dataclasses import replace

from appagent.core.state import App, Churn
from appagent.core.want import Kind, Want
from appagent.model.words import Layout

CHURN_WINDOW = 600.0  # s in which deploys of a tree are counted
CHURN_FREE = 6  # deploys in that window without a wait
CHURN_FIRST = 10.0  # s of the first wait; each further one is twice as long
CHURN_MAX = 3600.0


def delay(first: float, most: float, attempts: int) -> float:
    """Seconds before attempt number `attempts` + 1: doubled each time, up to `most`."""
    return float(min(most, first * 2.0 ** min(max(attempts - 1, 0), 40)))


def churn_delay(level: int) -> float:
    """Seconds that a churning tree waits at this level (1 is the first wait)."""
    return min(CHURN_MAX, CHURN_FIRST * 2.0 ** min(max(level - 1, 0), 20))


def slowed(churn: Churn, now: float) -> bool:
    """Whether the next deploy of a tree has to wait.

    Slowing starts with more than CHURN_FREE deploys within CHURN_WINDOW. It ends when the tree did
    not change for that window after the wait that was due: the wait itself does not count.
    """
    if churn.level:
        return now < churn.times[-1] + churn_delay(churn.level + 1) + CHURN_WINDOW
    return len([t for t in churn.times if now < t + CHURN_WINDOW]) >= CHURN_FREE


def churned(churn: Churn, now: float, *, new: bool) -> Churn:
    """Count one more deploy that begins; the first one of a new app does not count."""
    if new and not churn.first:
        return replace(churn, first=True)
    if not slowed(churn, now):
        recent = tuple(t for t in churn.times if now < t + CHURN_WINDOW) if not churn.level else ()
        return replace(churn, times=(*recent, now), level=0, reported=0)
    times = (*churn.times, now)[-CHURN_FREE - 1 :]
    return replace(churn, times=times, level=churn.level + 1)


def throttled(app: App, wanted: Want, now: float) -> float | None:
    """Until when (mono) a tree that deploys too often has to wait; None: not at all."""
    deploy, churn = app.attempt.deploy, app.churn
    fresh = app.record.applied.installed != wanted.version.release
    if wanted.kind is not Kind.RUN or wanted.at.layout is not Layout.TREE or not fresh:
        return None
    if deploy is None or deploy.began or not slowed(churn, now):
        return None
    until = churn.times[-1] + churn_delay(churn.level + 1)
    return until if until > now else None
