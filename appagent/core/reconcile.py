"""Compare one app and begin the first step that leads from what is applied to what is wanted.

Theory of operation. `advance` may be called at any time and any number of times: it compares the
app as it is now, and either begins one run, asks for a permit, ends a run that is not wanted any
more, or does nothing and notes when (`wake`) time alone could change the answer. There is no queue
of changes: what was wanted a moment ago does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from appagent.core.backoff import churn_delay, churned, throttled
from appagent.core.deploy import finish, note_deploy, reason_for
from appagent.core.discovery import move, moved_to
from appagent.core.permits import follow, obtain, release
from appagent.core.plan import plan
from appagent.core.progress import accomplish
from appagent.core.runs import end_run
from appagent.core.settle import half_there, ignore_lines, is_settled
from appagent.core.state import App, Makefile, Queue
from appagent.core.transition import Turn
from appagent.core.want import Kind, Want, hold_of, location_of, seen_version, version_of, want
from appagent.model.applied import Later, Run
from appagent.model.commands import Begin
from appagent.model.notices import NoticeKind
from appagent.model.words import Layout, Target

PINNED = 2  # how often in a row a tree may supersede its own deploy


def advance(turn: Turn, name: str) -> None:
    """Bring one app one step further, if there is one and it may begin."""
    app = turn.app(name)
    if app is None:
        return
    compare(turn, app)
    app = turn.app(name)
    if app is not None and app.run is None:
        release(turn, app)  # kept, it would let this one in before those who wait longer


def compare(turn: Turn, app: App) -> None:
    """Compare what is wanted with what is applied, and begin the first step between them."""
    name = app.name
    app = turn.put(replace(app, wake=inf, queue=replace(app.queue, waiting=False)))
    app = expire_hold(turn, app)
    app = drop_old_verdicts(turn, app)
    app = outwait(turn, app)
    wanted = want(turn.node, app, turn.now)
    if wanted.kind is Kind.REMOVED and moved_to(turn, app):
        move(turn, app, moved_to(turn, app))
        return
    app = turn.put(replace(app, wake=min(app.wake, waking(turn, app))))
    if app.run is not None:
        reconsider(turn, app, wanted)
        return
    app = note_wait(turn, app, wanted)
    version, at = version_of(app, wanted), location_of(app, wanted)
    if wanted.kind is not Kind.WAIT and app.makefile.version != version:
        app = turn.put(replace(app, makefile=Makefile(version)))
    steps = plan(app.record, wanted, turn.node.boot)
    in_progress = app.attempt.in_progress
    while steps and steps[0] in app.makefile.missing:
        app = accomplish(turn, app, steps[0], version, at, boot=turn.node.boot)
        # Nothing ran, so the next step does not follow a step that did.
        attempt = replace(app.attempt, in_progress=in_progress and app.attempt.in_progress)
        app = turn.put(replace(app, attempt=attempt))
        steps = plan(app.record, wanted, turn.node.boot)
    if not steps:
        finish(turn, app, wanted)
        return
    app = note_deploy(turn, app, wanted)
    if may_begin(turn, app, wanted, steps[0]):
        begin(turn, turn.node.apps[name], wanted, steps)


def waking(turn: Turn, app: App) -> float:
    """When time alone may change what is wanted."""
    settings = turn.node.settings_of(app)
    times = [inf]
    if app.seen.absent_since is not None:
        times.append(app.seen.absent_since + settings.gone_after)
    unsettled = app.seen.unsettled
    if unsettled is not None and (not unsettled.reported or settings.unsettled == "deploy"):
        times.append(unsettled.since.mono + settings.max_wait)
    hold = hold_of(turn.node, app, turn.now)
    if hold is not None and hold.until is not None:
        times.append(turn.now.mono + max(0.0, hold.until - turn.now.wall))
    return min(time for time in times if time > turn.now.mono)


def expire_hold(turn: Turn, app: App) -> App:
    """End a hold that has expired, and report it."""
    hold = app.record.hold
    if hold is None or not hold.over(turn.now):
        return app
    turn.report(NoticeKind.APP_RESUMED, app, reason=hold.why)
    return turn.save(app, replace(app.record, hold=None))


def drop_old_verdicts(turn: Turn, app: App) -> App:
    """Forget what failed or was cancelled once another version is seen."""
    record, latest = app.record, app.seen.latest
    if latest is None or not latest.known or not (record.failures or record.cancelled):
        return app
    seen = seen_version(turn.node, app)
    if seen is None:
        return app
    if record.failures and seen != record.failed_for:
        record = replace(record, failures=(), failed_for=None)
    if record.cancelled is not None and seen != record.cancelled.version:
        record = replace(record, cancelled=None)
    return turn.save(app, record)


def outwait(turn: Turn, app: App) -> App:
    """Report once what is not complete after `max_wait`; deploy it if that is configured."""
    latest, unsettled = app.seen.latest, app.seen.unsettled
    if latest is None or unsettled is None or not latest.known or app.seen.listed is not True:
        return app
    settings = turn.node.settings_of(app)
    if turn.now.mono < unsettled.since.mono + settings.max_wait:
        return app
    if not unsettled.reported:
        turn.report(
            NoticeKind.APP_WAITING,
            app,
            path=", ".join(app.seen.changed[:5]),
            incomplete=half_there(latest),
            ignore="" if latest.incomplete else "\n".join(ignore_lines(app.seen.changed)),
            wait_s=settings.max_wait,
        )
        unsettled = replace(unsettled, reported=True)
        app = turn.put(replace(app, seen=replace(app.seen, unsettled=unsettled)))
    if settings.unsettled == "deploy" and not latest.incomplete:
        unsettled = replace(unsettled, since=turn.now)
        seen = replace(app.seen, settled=latest.release, unsettled=unsettled)
        override = replace(app.attempt.override, force_unsettled=latest.release)
        attempt = replace(app.attempt, override=override)
        app = turn.put(replace(app, seen=seen, attempt=attempt))
    return app


def reconsider(turn: Turn, app: App, wanted: Want) -> None:
    """Whether the run that is under way is still wanted; only a build or install is ended.

    Where an install writes into its own tree, the newer release may be its own work: if it were
    ended each time, it would never finish. So the second one in a row is not ended, and a release
    that is superseded even then is deployed to its end (`pinned`) before a newer one counts.
    """
    run = app.run
    if run is None or run.cancelled or run.target not in (Target.BUILD, Target.INSTALL):
        return
    if wanted.kind is Kind.RUN and wanted.version.release != run.version.release:
        if run.layout is Layout.TREE:
            if app.churn.superseded:
                return
            app = turn.put(replace(app, churn=replace(app.churn, superseded=1)))
        end_run(turn, app, "a newer release")
    elif wanted.kind in (Kind.REMOVED, Kind.STOPPED):
        end_run(turn, app, "the app is removed" if wanted.kind is Kind.REMOVED else wanted.why)


def note_wait(turn: Turn, app: App, wanted: Want) -> App:
    """Report once why an app waits, and once that it does not any more."""
    kinds = {"unknown": NoticeKind.APP_UNKNOWN, "blocked": NoticeKind.APP_BLOCKED}
    blocked = ""
    if wanted.kind is Kind.WAIT and wanted.word in kinds:
        state = turn.node.roots.get(app.record.root)
        # What is wrong with a whole root was reported for the root.
        if state is not None and state.known and not state.stuck:
            blocked = f"{wanted.word}: {wanted.why}"
    if blocked and blocked != app.wait_reported:
        wait = wanted.until - turn.now.mono if wanted.until is not None else None
        turn.report(kinds[wanted.word], app, reason=wanted.why, wait_s=wait)
    elif app.wait_reported and not blocked and wanted.kind is not Kind.WAIT:
        if wanted.kind is not Kind.REMOVED:
            # The old reason does not apply any more.
            word = app.wait_reported.partition(":")[0]
            turn.report(NoticeKind.APP_KNOWN, app, reason=word)
    elif app.wait_reported and not blocked:
        blocked = app.wait_reported  # waits for another reason now; the old one may still apply
    return turn.put(replace(app, wait_reported=blocked))


def may_begin(turn: Turn, app: App, wanted: Want, step: Target) -> bool:
    """Whether the step may begin now; if not, note when to compare again, or ask for a permit."""
    version = version_of(app, wanted)
    if turn.node.stopping:
        return False
    if wanted.kind is Kind.RUN and not wanted.back and not complete(turn, app, step):
        return False
    back = app.attempt.backoff
    if back is not None and (back.version, back.target) == (version, step):
        if back.until > turn.now.mono:
            turn.put(replace(app, wake=min(app.wake, back.until)))
            return False
    elif back is not None:
        app = turn.put(replace(app, attempt=replace(app.attempt, backoff=None)))
    if not churn_allows(turn, app, wanted):
        return False
    app = turn.node.apps[app.name]
    full = len(turn.node.busy()) >= turn.node.settings.parallel_apps
    if full and step is not Target.CHECK and not turn.node.shutdown:
        since = min(app.queue.since, turn.now.mono)
        turn.put(replace(app, queue=Queue(waiting=True, since=since)))
        return False
    return obtain(turn, app, step, version)


def complete(turn: Turn, app: App, step: Target) -> bool:
    """Whether the files are complete now, or changed only while this deploy was in progress.

    An install may write into its own tree. The step after it follows at once; the changed tree is
    compared when the deploy is done.
    """
    latest, applied = app.seen.latest, app.record.applied
    if latest is None or step is Target.CHECK:
        return latest is not None
    if latest.incomplete:
        # What was complete when it was installed may be started; nothing else begins.
        return applied.up != turn.node.boot and latest.release == applied.installed
    settings = turn.node.settings_of(app)
    if latest.release == app.seen.settled and is_settled(latest, settings, applied.installed):
        return True
    return app.attempt.in_progress or app.attempt.override.force_unsettled == app.seen.settled


def churn_allows(turn: Turn, app: App, wanted: Want) -> bool:
    """Whether a tree that deploys often may begin once more."""
    until = throttled(app, wanted, turn.now.mono)
    if until is None:
        return True
    level = app.churn.level + 1
    if app.churn.reported != level:
        turn.report(
            NoticeKind.APP_CHURNING,
            app,
            path=", ".join(app.seen.changed[:5]),
            ignore="\n".join(ignore_lines(app.seen.changed)),
            count=len(app.churn.times),
            wait_s=churn_delay(level),
        )
        app = turn.put(replace(app, churn=replace(app.churn, reported=level)))
    turn.put(replace(app, wake=min(app.wake, until)))
    return False


def begin(turn: Turn, app: App, wanted: Want, steps: Sequence[Target]) -> None:
    """Start the shim of the first step; it waits until it is recorded."""
    step = steps[0]
    settings = turn.node.settings_of(app)
    version, at = version_of(app, wanted), location_of(app, wanted)
    attempt, deploy = app.attempt, app.attempt.deploy
    reason = reason_for(turn, app, wanted)
    if app.attempt.backoff is not None:
        reason = f"{reason}, try {app.attempt.backoff.attempts + 1}"
    fresh = app.record.applied.installed != wanted.version.release
    if deploy is not None and deploy.began is None and wanted.kind in (Kind.RUN, Kind.KEEP):
        turn.report(
            NoticeKind.DEPLOY_BEGAN,
            app,
            release=version.release,
            rollback=version.release if wanted.back else "",
            previous=deploy.previous,
            conf=version.conf,
            reason=reason,
            how=deploy.how,
        )
        deploy = replace(deploy, began=turn.now, boot=turn.node.boot)
        if wanted.at.layout is Layout.TREE and fresh:
            new = app.record.last_good is None
            app = replace(app, churn=churned(app.churn, turn.now.mono, new=new))
    if step in (Target.BUILD, Target.INSTALL) and app.churn.superseded >= PINNED:
        attempt = replace(attempt, override=replace(attempt.override, pinned=version.release))
    run = Run(
        id=turn.make_id(),
        app=app.name,
        root=app.record.root,
        target=step,
        version=version,
        previous=deploy.previous if deploy else version.release,
        layout=at.layout,
        release_dir=at.directory,
        reason=reason,
        deploy=deploy.id if deploy and wanted.kind in (Kind.RUN, Kind.KEEP) else "",
        timeout=settings.timeout[step],
        grace=settings.grace,
        began=turn.now,
        then=tuple(Later(next_, settings.timeout[next_]) for next_ in follow(turn, app, steps)),
    )
    attempt = replace(attempt, deploy=deploy, asking=None)
    turn.put(replace(app, attempt=attempt, starting=run, queue=Queue()))
    turn.do(Begin(run))
