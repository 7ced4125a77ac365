"""Permits: which steps need one, how it is asked for, and when it is given back.

Theory of operation. A permit is asked for when a step could begin but for that, and the answer is
an event. It is held while its run is under way, and at no other time: an app that waits, for
whatever reason, holds nothing and asks again. `Turn.put` is the one place that gives a permit back:
it compares the app as it was with the app as it becomes, so no way to lose a permit forgets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from appagent.core.state import App, Asking
from appagent.core.transition import Turn
from appagent.model.commands import AskPermit, ReturnPermit
from appagent.model.events import PermitDenied, PermitGranted
from appagent.model.permit import ALONE
from appagent.model.words import Target, Version


def needs_permit(step: Target, app: App, boot: str) -> bool:
    """Whether this step of this app can hurt somebody.

    A build or install may write into what all nodes share. A restart interrupts an app that runs;
    one that cannot be running is only started by it. A start of what is down, and a stop, are free.
    """
    match step:
        case Target.START | Target.STOP:
            return False
        case Target.RESTART:
            return app.record.applied.may_run == boot
        case Target.BUILD | Target.INSTALL | Target.CHECK:
            return True


def obtain(turn: Turn, app: App, step: Target, version: Version) -> bool:
    """Whether a step may begin under the permit that its app holds, or needs none.

    Else the permit is asked for; after a denial again at the time that it named.
    """
    attempt, mono = app.attempt, turn.now.mono
    if not needs_permit(step, app, turn.node.boot):
        return True
    if attempt.permit is not None and attempt.permit.allows(step, version, mono):
        return True
    asking = attempt.asking
    if asking is None or not attempt.asks(step, version) or asking.retry_at <= mono:
        asking = Asking(step, version)
        attempt = replace(attempt, permit=None, asking=asking)
        app = turn.put(replace(app, attempt=attempt))
        turn.do(AskPermit(app.name, step, version))
    turn.put(replace(app, wake=min(app.wake, asking.retry_at)))
    return False


def granted(turn: Turn, event: PermitGranted) -> None:
    """A step may begin, if it is still the one that is asked for."""
    app, permit = turn.app(event.app), event.permit
    if app is not None and app.attempt.asks(permit.step, permit.version):
        turn.put(replace(app, attempt=replace(app.attempt, permit=permit, asking=None)))
        turn.touch(event.app)
    elif app is None or app.attempt.permit != permit:  # else the same answer once more
        turn.do(ReturnPermit(event.app, permit))  # too late


def denied(turn: Turn, event: PermitDenied) -> None:
    """A step may not begin yet."""
    app = turn.app(event.app)
    if app is not None and app.attempt.asks(event.step, event.version):
        asking = Asking(event.step, event.version, event.why, event.retry_at)
        attempt = replace(app.attempt, asking=asking)
        turn.put(replace(app, attempt=attempt, wake=min(app.wake, event.retry_at)))


def release(turn: Turn, app: App) -> App:
    """No run is under way: the app holds no permit."""
    if app.attempt.permit is None:
        return app
    return turn.put(replace(app, attempt=replace(app.attempt, permit=None)))


def follow(turn: Turn, app: App, steps: Sequence[Target]) -> tuple[Target, ...]:
    """The steps that a run of the first one may continue with where the Makefile lacks it.

    A node that decides for itself permits all of them with the first. Any other permit is for one
    step: a run never comes to a step that needs a permit which it does not have.
    """
    permit = app.attempt.permit
    if permit is not None and permit.by == ALONE:
        return tuple(steps[1:])
    boot = turn.node.boot
    return tuple(takewhile(lambda step: not needs_permit(step, app, boot), steps[1:]))
