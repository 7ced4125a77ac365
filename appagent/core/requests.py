"""Requests by people: each changes a field of the record or a hold; the comparison does the rest.

A trigger with a target does not run anything: it takes back what the target accomplished, so that
the plan contains it again. So it survives a crash, needs no queue, and cannot run during a deploy.
"""

from __future__ import annotations

from dataclasses import replace

from appagent.core.discovery import take_in
from appagent.core.plan import take_back
from appagent.core.runs import end_run
from appagent.core.state import App, Churn
from appagent.core.transition import Turn
from appagent.core.want import Kind, hold_of, see, seen_version
from appagent.model.applied import Cancelled, Hold
from appagent.model.commands import Answer, Drop, PollNow, SaveNodeHold
from appagent.model.events import Cancel, Forget, HoldAsked, ResumeAsked, Trigger
from appagent.model.exit_codes import FAILED, LATER, OK, USAGE
from appagent.model.notices import NoticeKind
from appagent.model.words import Target


def find(turn: Turn, name: str) -> App | None:
    """The app; if there is none, answer so."""
    app = turn.app(name)
    if app is None:
        turn.do(Answer(USAGE, f"no app {name} on this node; `appagent status` lists them"))
    return app


def trigger(turn: Turn, event: Trigger) -> None:
    """Do it now: clear what blocks the app, take back what is to be done again."""
    app = find(turn, event.app)
    if app is None:
        return
    target, record = event.target, app.record
    if turn.node.shutdown and target is not Target.STOP:
        turn.do(Answer(LATER, f"{app.name}: the machine shuts down; try again once it is up"))
        return
    hold = hold_of(turn.node, app, turn.now)
    if hold is not None and target not in (Target.STOP, Target.START):
        name = app.name if record.hold is not None else ""
        turn.do(Answer(LATER, f"{app.name} is held ({hold.why}); first: appagent resume {name}"))
        return
    if record.stopped and target not in (Target.STOP, Target.START):
        turn.do(Answer(LATER, f"{app.name} is stopped; first: appagent trigger {app.name} start"))
        return
    verdict = see(turn.node, app, turn.now)
    if verdict is not None and (target is not Target.STOP or verdict.word == "unmanaged"):
        why = "it is removed" if verdict.kind is Kind.REMOVED else verdict.why
        turn.do(PollNow(record.root, app.name))
        turn.do(Answer(LATER, f"{app.name}: {why}"))
        return
    what = f"{target} requested" if target else "checking for a new release"
    turn.report(NoticeKind.APP_TRIGGERED, app, target=target or "", reason=event.by)
    override = replace(app.attempt.override, pinned="")
    attempt = replace(app.attempt, backoff=None, requested_by=event.by, override=override)
    app = replace(app, attempt=attempt, churn=Churn())
    record = replace(
        record, failures=(), failed_for=None, cancelled=None, stopped=target is Target.STOP
    )
    if target is not None:
        record = replace(record, applied=take_back(record.applied, target))
        if record.run is not None:
            record = replace(record, run=replace(record.run, requested=target))
        if app.starting is not None:
            app = replace(app, starting=replace(app.starting, requested=target))
    if target is Target.BUILD:
        record = replace(record, built=())
    app = turn.save(app, record)
    if app.run is not None and app.run.target in (Target.BUILD, Target.INSTALL):
        end_run(turn, app, f"triggered by {event.by}")
    turn.do(PollNow(record.root, app.name))
    turn.touch(app.name)
    turn.do(Answer(OK, f"{app.name}: {what}"))


def cancel(turn: Turn, event: Cancel) -> None:
    """End a running build or install and do not retry its version; or end a backoff."""
    app = find(turn, event.app)
    if app is None:
        return
    run = app.run
    if run is not None and run.target in (Target.BUILD, Target.INSTALL):
        cancelled = Cancelled(seen_version(turn.node, app) or run.version, event.by)
        end_run(turn, app, f"cancelled by {event.by}")
        app = turn.node.apps[app.name]
        turn.save(app, replace(app.record, cancelled=cancelled))
        how = f"a new release or `appagent trigger {app.name}` continues"
        turn.do(Answer(OK, f"{app.name}: ending make {run.target}; {how}"))
    elif run is not None:
        line = f"{app.name}: a running {run.target} always finishes or times out"
        turn.do(Answer(FAILED, line))
    elif app.attempt.backoff is not None:
        turn.put(replace(app, attempt=replace(app.attempt, backoff=None)))
        turn.touch(app.name)
        target = app.attempt.backoff.target
        turn.do(Answer(OK, f"{app.name}: retrying {target} now"))
    else:
        turn.do(Answer(FAILED, f"{app.name}: nothing is running and nothing is waiting"))


def hold_asked(turn: Turn, event: HoldAsked) -> None:
    """Hold one app, or the whole node."""
    hold = event.hold
    if event.app is None:
        before = turn.node.hold
        turn.node = replace(turn.node, hold=hold)
        turn.do(SaveNodeHold(hold))
        turn.report(NoticeKind.NODE_HELD, by=hold.by, reason=hold.why)
        turn.touch(*turn.node.apps)
        turn.do(Answer(OK, f"all apps of this node are held{instead(before)}"))
        return
    app = find(turn, event.app)
    if app is None:
        return
    before = app.record.hold
    turn.report(NoticeKind.APP_HELD, app, by=hold.by, reason=hold.why)
    turn.save(app, replace(app.record, hold=hold))
    turn.touch(app.name)
    turn.do(Answer(OK, f"{app.name} is held{instead(before)}"))


def instead(before: Hold | None) -> str:
    """Name the hold that a new one replaces."""
    return f" (this replaces the hold: {before.why})" if before is not None else ""


def resume_asked(turn: Turn, event: ResumeAsked) -> None:
    """End a hold and a stop."""
    names = list(turn.node.apps) if event.app is None else [event.app]
    if event.app is not None and find(turn, event.app) is None:
        return
    if event.app is None and turn.node.hold is not None:
        turn.node = replace(turn.node, hold=None)
        turn.do(SaveNodeHold(None))
        turn.report(NoticeKind.NODE_RESUMED, by=event.by)
    ended = 0
    for name in names:
        app = turn.node.apps[name]
        if app.record.hold is None and not app.record.stopped:
            continue
        ended += 1
        turn.report(NoticeKind.APP_RESUMED, app, by=event.by)
        turn.save(app, replace(app.record, hold=None, stopped=False))
    turn.touch(*turn.node.apps)
    if event.app is not None and not ended:
        node = "; the whole node is held: appagent resume" if turn.node.hold else ""
        turn.do(Answer(FAILED, f"{event.app} is neither held nor stopped{node}"))
        return
    turn.do(Answer(OK, f"{event.app or 'all apps'}: resumed"))


def forget(turn: Turn, event: Forget) -> None:
    """An app that is missing from the share counts as removed at once."""
    app = find(turn, event.app)
    if app is None:
        return
    if app.seen.listed is True and turn.node.root_settings(app.record.root) is not None:
        line = f"{app.name} is in {app.record.root}; only what is missing there can be forgotten"
        turn.do(Answer(FAILED, line))
        return
    turn.report(NoticeKind.APP_FORGOTTEN, app, by=event.by)
    verdict = see(turn.node, app, turn.now)
    if verdict is not None and verdict.word == "unmanaged":
        # Never stopped: the configuration leaves it out, so the agent does not manage it.
        if app.run is not None:
            turn.do(Answer(LATER, f"{app.name}: make {app.run.target} is under way"))
            return
        turn.do(Drop(app.name))
        turn.drop(app.name)
        take_in(turn)
        turn.do(Answer(OK, f"{app.name}: forgotten; its processes keep running"))
        return
    turn.save(app, replace(app.record, stopped=False, mass_removal=False, forgotten=True))
    turn.touch(app.name)
    turn.do(Answer(OK, f"{app.name}: forgotten; it is stopped once its root can be read"))
