"""The state of an app as people read it, and whether it runs what is wanted.

`status`, `explain`, `wait` and the roster agree because all of them ask here.
"""

from __future__ import annotations

from dataclasses import dataclass

from appagent.core.backoff import throttled
from appagent.core.plan import plan
from appagent.core.release import short
from appagent.core.settle import half_there
from appagent.core.state import App, Node
from appagent.core.want import Kind, Want, version_of, want
from appagent.model.words import Now, Outcome, Target

SHOWN = 8  # names in a line
HOPELESS = 3  # tries of a step that failed, until a person has to act
# States of one release, which do not apply to the next one.
OF_A_RELEASE = frozenset(("failed", "rolled-back", "retrying", "refused", "exited", "cancelled"))


@dataclass(frozen=True, slots=True)
class View:
    """One app, as a person reads it."""

    app: str
    word: str  # ok, deploying, pending, settling, unknown, failed … (README: the words of `status`)
    why: str
    want: Want
    plan: tuple[Target, ...]
    reached: bool | None  # True: runs what is wanted; False: cannot get there by itself; None: yet


def view(node: Node, app: App, now: Now) -> View:
    """What an app is doing now, and why."""
    wanted = want(node, app, now)
    missing = app.makefile.lacks(version_of(app, wanted))
    steps = tuple(step for step in plan(app.record, wanted, node.boot) if step not in missing)
    word, why, reached = judge(node, app, wanted, steps, now)
    if reached is False and word in OF_A_RELEASE and unsettled(app):
        # That is the state of the release before: the one that is coming may well be the fix.
        word, why, reached = "settling", coming(app), None
    return View(app.name, word, why, wanted, steps, reached)


def judge(
    node: Node, app: App, wanted: Want, steps: tuple[Target, ...], now: Now
) -> tuple[str, str, bool | None]:
    """The state, the reason, and whether what is wanted is reached."""
    if app.run is not None:
        return "deploying", f"make {' or '.join(app.run.steps)}: {app.run.reason}", None
    if wanted.kind is Kind.WAIT:
        reached = {"blocked": False, "failed": False, "unmanaged": True, "held": True}.get(
            wanted.word
        )
        why = wanted.why
        if wanted.until is not None:
            why += f"; will be stopped in {wanted.until - now.mono:.0f} s"
        return wanted.word, why, reached
    if not steps:
        return at_rest(app, wanted)
    back = app.attempt.backoff
    step = (version_of(app, wanted), steps[0])
    if back is not None and (back.version, back.target) == step and back.until > now.mono:
        tries = "try" if back.attempts == 1 else "tries"
        why = (
            f"make {back.target} {back.word} ({back.attempts} {tries}): "
            f"{back.line or 'no reason given'}; next in {back.until - now.mono:.0f} s"
        )
        bad = back.word in (Outcome.FAILED, Outcome.TIMEOUT, Outcome.REFUSED)
        word = "refused" if back.word == Outcome.REFUSED else "retrying"
        return word, why, False if bad and back.attempts >= HOPELESS else None
    if app.queue.waiting:
        return "pending", f"{others_deploying(node)} (parallel_apps)", None
    if asking := app.attempt.asking:
        why = f": {asking.why}" if asking.why else ""
        return "pending", f"waiting for the permit to {asking.step}{why}", None
    until = throttled(app, wanted, now.mono)
    if until is not None:
        files = ", ".join(app.seen.changed[:SHOWN]) or "which files is not known"
        why = (
            f"deployed {len(app.churn.times)} times lately, the next in {until - now.mono:.0f} s; "
            f"what changed: {files}; at once: appagent trigger {app.name}"
        )
        return "pending", why, None
    if app.seen.unsettled is not None:
        return "settling", f"next: {steps[0]}", None
    return "pending", f"next: {steps[0]}", None


def at_rest(app: App, wanted: Want) -> tuple[str, str, bool | None]:
    """The same for an app for which nothing is to be done."""
    if wanted.kind is Kind.STOPPED:
        return "stopped", f"by a person; `appagent trigger {app.name} start` starts it", True
    if wanted.kind is Kind.REMOVED:
        return "removed", "", True
    if app.processes.exited and wanted.kind in (Kind.KEEP, Kind.RUN):
        how = f"`appagent trigger {app.name} start` starts it"
        return "exited", f"all its processes have exited; {how}", False
    if wanted.kind is Kind.KEEP:
        return wanted.word, wanted.why, wanted.word == "held"
    if wanted.back:
        last = app.record.failures[0]
        why = f"{last.target} of {short(last.version.release)} failed: {last.line or last.outcome}"
        return "rolled-back", why, False
    if unsettled(app):
        return "settling", coming(app), None
    return "ok", "", True


def others_deploying(node: Node) -> str:
    """Which apps use the slots that an app waits for."""
    names = sorted(node.busy())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    apps = "app is" if len(names) == 1 else "apps are"
    return f"{len(names)} other {apps} deploying: {', '.join(names[:SHOWN])}{more}"


def unsettled(app: App) -> bool:
    """Whether what is seen is not (yet) the newest release that was seen complete."""
    latest = app.seen.latest
    expected = (app.seen.settled, app.attempt.override.pinned)
    other = latest is not None and latest.known and latest.release not in expected
    return other or app.seen.unsettled is not None


def coming(app: App) -> str:
    """What keeps the release that is seen from being complete."""
    latest = app.seen.latest
    return (half_there(latest) if latest is not None else "") or "files are changing"
