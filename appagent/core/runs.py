"""The life of a run: its shim is ready, it proceeds, it ends; and what its end means.

The order matters and is the same everywhere: the record is written before the shim may proceed, and
again when the run has ended, before anything else begins. After a crash of the agent between any
two of these there is either a run that never proceeded, one that can be adopted, or a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from appagent.core.backoff import delay
from appagent.core.permits import release
from appagent.core.plan import take_back
from appagent.core.progress import (
    accomplish,
    boot_of,
    halfway,
    note_last_step,
    report_began,
    touch_queued,
    with_run,
)
from appagent.core.state import App, Attempt, Backoff, Override
from appagent.core.transition import Turn
from appagent.core.want import hold_of, rollback_target, seen_version
from appagent.model.applied import Failure, Record, Run
from appagent.model.commands import End, PollNow, Proceed
from appagent.model.events import Ended, ShimReady
from appagent.model.notices import Fields, NoticeKind
from appagent.model.words import NOTHING_RAN, Outcome, Target, Version

FAILURES_KEPT = 10
MOVED_FIRST, MOVED_MAX = 0.5, 30.0  # s; the watcher sees later what the shim saw


def shim_ready(turn: Turn, event: ShimReady) -> None:
    """Record the run with its identity and without what its step clears; then let it proceed."""
    app = turn.app(event.app)
    run = app.starting if app is not None else None
    if app is None or run is None or run.id != event.run_id:
        return
    run = replace(run, identity=replace(event.identity, boot=turn.node.boot))
    app = turn.save(replace(app, starting=None), with_run(app.record, run))
    if run.cancelled:
        turn.do(End(app.name, run.id, run.cancelled))
    else:
        turn.do(Proceed(app.name, run.id))
    turn.touch(app.name)


def end_run(turn: Turn, app: App, why: str) -> None:
    """End the run that is under way; once."""
    if app.record.run is not None and not app.record.run.cancelled:
        run = replace(app.record.run, cancelled=why)
        # In the other order, a crash between the two would leave a run that counts as ended.
        turn.do(End(app.name, run.id, why))
        app = turn.save(app, replace(app.record, run=run))
        turn.report(NoticeKind.RUN_CANCELLED, app, target=run.target, run_id=run.id, reason=why)
    elif app.starting is not None and not app.starting.cancelled:
        turn.put(replace(app, starting=replace(app.starting, cancelled=why)))


def ended(turn: Turn, event: Ended) -> None:
    """A run is over."""
    app = turn.app(event.app)
    run = app.run if app is not None else None
    if app is None or run is None or run.id != event.run_id:
        return
    outcome, steps, asked = event.outcome, run.steps, app.attempt.requested_by
    app, run = note_last_step(turn, app, run, event)
    ended_by_us = run.cancelled and run.target in (Target.BUILD, Target.INSTALL)
    if ended_by_us and outcome not in (Outcome.OK, Outcome.LOST):
        outcome = Outcome.CANCELLED
    if outcome not in NOTHING_RAN and not event.adopted:
        report_began(turn, app, run, event.calls)
    report_end(turn, app, run, replace(event, outcome=outcome), steps)
    app, run = halfway(turn, turn.node.apps[run.app], run, event)
    # A run that was BUSY has not ended the other one, which is older and still alive.
    over, shim = (run.id, run.identity)
    if outcome is Outcome.BUSY:
        over, shim = app.record.ended, app.record.ended_shim
    record = replace(app.record, run=None, ended=over, ended_shim=shim)
    processes = replace(app.processes, count=None)
    app = turn.save(replace(app, starting=None, processes=processes), record)
    if app.makefile.version == run.version:  # the shim reports all missing targets
        lacks = frozenset(event.lacks) - {Target.STOP}
        app = lack(turn, app, lacks)
    # Also without a stop target, a stop ends the processes of the app: it is never skipped.
    empty = outcome is Outcome.MISSING and run.target is Target.STOP
    if outcome is Outcome.OK or empty:
        succeeded(turn, app, run, event)
    else:
        missing = outcome is Outcome.MISSING
        attempt = replace(app.attempt, in_progress=missing, override=Override())
        app = turn.put(replace(app, attempt=attempt, last_failed=event))
        if missing:
            lack(turn, app, {run.target})
        else:
            handle_failure(turn, app, run, replace(event, outcome=outcome))
    app = release(turn, turn.node.apps[run.app])
    if run.requested is not None:
        applied = take_back(app.record.applied, run.requested)
        attempt = replace(app.attempt, requested_by=asked)
        turn.save(replace(app, attempt=attempt), replace(app.record, applied=applied))
    if turn.node.apps[run.app].attempt.in_progress:
        turn.touch(run.app)  # a deploy in progress first, then the longest wait
    touch_queued(turn)
    turn.touch(run.app)


def lack(turn: Turn, app: App, targets: Iterable[Target]) -> App:
    """Note targets that the Makefile does not have."""
    makefile = replace(app.makefile, missing=app.makefile.missing.union(targets))
    return turn.put(replace(app, makefile=makefile))


def succeeded(turn: Turn, app: App, run: Run, event: Ended) -> None:
    """A step succeeded."""
    expected = (app.seen.settled, app.attempt.override.pinned)
    if run.target is Target.INSTALL and run.version.release not in expected:
        churn = replace(app.churn, superseded=app.churn.superseded + 1)
        app = turn.put(replace(app, churn=churn))
    # An app that has processes of its own has them from its start on.
    starts = run.target is Target.START
    starts = starts or (run.target is Target.RESTART and app.record.populated)
    app, boot = replace(app, last_failed=None), boot_of(turn, run)
    app = accomplish(turn, app, run.target, run.version, run.location, boot=boot)
    if starts and event.leaves:
        turn.save(app, replace(app.record, populated=True))


def handle_failure(turn: Turn, app: App, run: Run, event: Ended) -> None:
    """Decide what follows from a run that did not succeed: a retry, or a failed version."""
    if boot_of(turn, run) != turn.node.boot:
        return  # a shutdown ends all runs: that does not count in the next boot
    settings = turn.node.settings_of(app)
    bounds = (settings.retry_first, settings.retry_max)
    match event.outcome:
        case Outcome.CANCELLED:
            # Ended by the agent: the comparison follows at once, and `cancelled` keeps a version
            # that a person cancelled from it. Ended by somebody else: not repeated at once.
            if not run.cancelled:
                retry_later(turn, app, run, event, bounds)
        case Outcome.MOVED:
            turn.do(PollNow(run.root, run.app))
            if rollback_target_missing(turn, app, run, event):
                return
            retry_later(turn, app, run, event, (MOVED_FIRST, MOVED_MAX))
        case Outcome.BUSY:  # its result is compared once the other run is over
            retry_later(turn, app, run, event, (MOVED_FIRST, MOVED_MAX))
        case Outcome.LOST:
            # The first one is repeated at once: the machine went down. The next one waits.
            before = app.attempt.backoff
            first = bounds[0] if before is not None and before.word == Outcome.LOST else 0.0
            retry_later(turn, app, run, event, (first, bounds[1]))
        case Outcome.REFUSED:
            retry_later(turn, app, run, event, bounds)
        case _:
            if record_failure(turn, app, run, event):
                return
            retry_later(turn, app, run, event, bounds)


def record_failure(turn: Turn, app: App, run: Run, event: Ended) -> bool:
    """Record a version that failed to start or to become healthy; False: retry instead."""
    if run.target not in (Target.START, Target.RESTART, Target.CHECK):
        return False
    if run.identity is None:
        return False  # there was no shim: the version is not to blame
    root = turn.node.roots.get(run.root)
    if root is not None and root.back >= run.began.mono:
        return False  # the share was unavailable while it ran
    down = app.record.applied.up != turn.node.boot
    if down and hold_of(turn.node, app, turn.now) is not None:
        return False  # what is held is kept: no rollback from it
    # If nothing is seen now (the run was adopted, or the share is unavailable), the failure counts
    # against what was seen when it began.
    seen = seen_version(turn.node, app) or app.record.failed_for or run.version
    if run.version.conf != seen.conf:
        return False  # the environment changed meanwhile: compare again
    if run.version.release != seen.release and run.version != rollback_version(turn, app, seen):
        return False
    record = replace(with_failure(turn, app.record, run, event), failed_for=seen)
    back = rollback_target(turn.node, replace(app, record=record), seen)
    if down and back is None:
        return False  # an app that is down is retried indefinitely
    rollback = back.version.release if back is not None else ""
    fields = how_it_ended(run, event) | Fields(target=run.target, rollback=rollback)
    turn.report(NoticeKind.DEPLOY_FAILED, app, **fields)
    turn.save(replace(app, attempt=Attempt()), record)
    return True


def with_failure(turn: Turn, record: Record, run: Run, event: Ended) -> Record:
    """The record with one more failure of a version."""
    failure = Failure(run.version, run.target, event.outcome, event.line, turn.now.wall)
    return replace(record, failures=(*record.failures, failure)[-FAILURES_KEPT:])


def rollback_version(turn: Turn, app: App, seen: Version) -> Version | None:
    """The version that the app is being rolled back to, if it is."""
    back = rollback_target(turn.node, app, seen)
    return back.version if back is not None else None


def rollback_target_missing(turn: Turn, app: App, run: Run, event: Ended) -> bool:
    """The last good release does not exist any more: no rollback is possible."""
    seen = seen_version(turn.node, app)
    if seen is None or not app.record.failures or run.version != rollback_version(turn, app, seen):
        return False
    record = replace(with_failure(turn, app.record, run, event), last_good_at=None)
    turn.save(replace(app, attempt=replace(app.attempt, deploy=None)), record)
    turn.report(NoticeKind.APP_NO_ROLLBACK, app, release=run.version.release, line=event.line)
    return True


def retry_later(turn: Turn, app: App, run: Run, event: Ended, bounds: tuple[float, float]) -> None:
    """Note when the same step may be retried."""
    before = app.attempt.backoff
    same = before is not None and (before.version, before.target) == (run.version, run.target)
    attempts = before.attempts + 1 if before is not None and same else 1
    wait = delay(*bounds, attempts)
    backoff = Backoff(
        run.version, run.target, attempts, turn.now.mono + wait, event.line, str(event.outcome)
    )
    if event.outcome in (Outcome.FAILED, Outcome.TIMEOUT, Outcome.REFUSED, Outcome.BUSY):
        turn.report(
            NoticeKind.DEPLOY_RETRYING,
            app,
            target=run.target,
            release=run.version.release,
            outcome=event.outcome,
            run_id=run.id,
            attempt=attempts + 1,
            wait_s=wait,
        )
    turn.put(replace(app, attempt=replace(app.attempt, backoff=backoff)))


def report_end(turn: Turn, app: App, run: Run, event: Ended, steps: Sequence[Target]) -> None:
    """Report how a run ended; `steps` are those that it could have reached."""
    fields = end_fields(run, event, steps)
    back = app.attempt.backoff
    if back is not None and (back.version, back.target) == (run.version, run.target):
        fields["repeated"] = "yes" if back.line == event.line else ""
    turn.report(NoticeKind.RUN_ENDED, app, **fields)
    for warning in event.warnings:
        turn.report(NoticeKind.RUN_WARNING, app, line=warning, run_id=run.id)


def end_fields(run: Run, event: Ended, steps: Sequence[Target]) -> Fields:
    """The fields of a run that ended; it belongs to the deploy that it began in."""
    return how_it_ended(run, event) | Fields(
        target=event.calls[0] if len(event.calls) == 1 else run.target,
        deploy_id=run.deploy,
        reason=run.reason,
        duration_ms=round(event.seconds * 1000),
        adopted="yes" if event.adopted else "",
        calls=" ".join(event.calls),
        steps="" if event.calls else " ".join(steps),
    )


def how_it_ended(run: Run, event: Ended) -> Fields:
    """The fields of a run's end that stand in each notice of it."""
    return Fields(
        release=run.version.release,
        run_id=run.id,
        outcome=event.outcome,
        exit_code=event.exit_code,
        line=event.line,
        tail=event.tail,
    )
