"""Which step a run has reached, and what that accomplishes.

Theory of operation. Which targets a Makefile has is found out by the run itself. So a run begins
for the first step of the plan, with those that may follow (`then`), and runs the first one that the
Makefile has. The steps before it count as done; for that one the record is the same as if the run
had started with it. The shim reports the step when it has found it, and again in its result, so
that an agent that was started in between knows it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from appagent.core.deploy import conclude
from appagent.core.ignore import made_under
from appagent.core.plan import begin, succeed
from appagent.core.state import App
from appagent.core.transition import Turn
from appagent.model.applied import Record, Run
from appagent.model.commands import Rewatch
from appagent.model.events import Ended, StepFound
from appagent.model.notices import NoticeKind
from appagent.model.words import Layout, Location, Outcome, Target, Version

BUILT_KEPT = 50


def boot_of(turn: Turn, run: Run) -> str:
    """The boot in which a run was; one whose shim is not known was in this one, if at all."""
    return run.boot or turn.node.boot


def accomplish(  # noqa: PLR0913 - each is one property of the step
    turn: Turn, app: App, target: Target, version: Version, at: Location, *, boot: str
) -> App:
    """A step succeeded in a boot, or the Makefile has no such target: its field is set."""
    record = app.record
    record = replace(record, applied=succeed(record.applied, target, version, boot))
    if target in (Target.START, Target.RESTART, Target.STOP):
        # Its processes are counted anew from here on.
        record = replace(record, populated=False)
        app = replace(app, processes=replace(app.processes, exited=False))
    if target in (Target.START, Target.RESTART):
        record = replace(record, ran=at)
    if target is Target.BUILD:
        # Only a release directory of its own keeps what its build made.
        kept = record.built if at.layout is Layout.SYMLINK else ()
        record = replace(record, built=(*kept, version.release)[-BUILT_KEPT:])
    if target is Target.INSTALL:
        ignore = turn.node.settings_of(app).ignore
        if not made_under(version.release, ignore):
            ignore = record.ignore  # the lines changed since the install began
        if ignore != record.ignore:
            turn.do(Rewatch())  # the id under the older lines is not needed any more
        record = replace(record, ignore=ignore)
    # A stop is not a step of a deploy: the files may be incomplete by then.
    attempt = replace(app.attempt, backoff=None, in_progress=target is not Target.STOP)
    app = turn.save(replace(app, attempt=attempt), record)
    done = app.attempt.deploy is not None and record.applied.healthy == app.attempt.deploy.version
    return conclude(turn, app) if done else app


def with_run(record: Record, run: Run) -> Record:
    """The record with a run that begins, and without what its step clears."""
    starts = run.target in (Target.START, Target.RESTART)
    return replace(
        record,
        root=record.root or run.root,
        run=run,
        applied=begin(record.applied, run.target, run.boot),
        ran=run.location if starts else record.ran,
    )


def note_step(turn: Turn, app: App, run: Run, step: Target | None) -> tuple[App, Run]:
    """Note that a run has come to one of its steps: the Makefile lacks those before it."""
    if not run.then or step not in run.steps:
        return app, run
    at = run.steps.index(step)
    passed, timeout = run.steps[:at], run.then[at - 1].timeout if at else run.timeout
    run = replace(run, target=step, timeout=timeout, then=())
    app = turn.save(app, with_run(app.record, run))
    for target in passed:
        app = accomplish(turn, app, target, run.version, run.location, boot=boot_of(turn, run))
    return app, run


def step_found(turn: Turn, event: StepFound) -> None:
    """A run calls make for a step now: record that, as if the run had started with it."""
    app = turn.app(event.app)
    run = app.record.run if app is not None else None
    if app is None or run is None or run.id != event.run_id:
        return
    app, run = note_step(turn, app, run, event.step)
    if event.calls:
        report_began(turn, app, run, event.calls)
    touch_queued(turn)  # a check does not use a slot


def touch_queued(turn: Turn) -> None:
    """Compare the apps that wait for a slot, the longest wait first: one may be free."""
    queued = [app for app in turn.node.apps.values() if app.queue.waiting]
    turn.touch(*(app.name for app in sorted(queued, key=lambda app: app.queue.since)))


def report_began(turn: Turn, app: App, run: Run, calls: Sequence[Target]) -> None:
    """Report that make is called, once for each run and in the deploy that it began in."""
    if app.run_reported == run.id:
        return
    app = turn.put(replace(app, run_reported=run.id))
    turn.report(
        NoticeKind.RUN_BEGAN,
        app,
        deploy_id=run.deploy,
        target=calls[0] if len(calls) == 1 else run.target,
        run_id=run.id,
        release=run.version.release,
        reason=run.reason,
        permit=app.attempt.permit.by if app.attempt.permit is not None else "",
        calls=" ".join(calls),
    )


def note_last_step(turn: Turn, app: App, run: Run, event: Ended) -> tuple[App, Run]:
    """Note the step that a run had come to at its end.

    A run without a result may have started any of its steps: none of them counts as done.
    """
    if event.outcome is Outcome.LOST:
        for step in run.steps:
            app = turn.save(app, with_run(app.record, replace(run, target=step)))
        return app, run
    return note_step(turn, app, run, event.step)


def halfway(turn: Turn, app: App, run: Run, event: Ended) -> tuple[App, Run]:
    """A restart by stop and start that has done its stop: only the start is left."""
    if not event.stopped:
        return app, run
    boot = boot_of(turn, run)
    app = accomplish(turn, app, Target.STOP, run.version, run.location, boot=boot)
    run = replace(run, target=Target.START)
    return turn.save(app, with_run(app.record, run)), run
