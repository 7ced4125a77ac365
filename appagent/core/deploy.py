"""A deploy from its first difference to its end: it gets an id, is reported, and is remembered.

Nothing here decides what is run. A deploy is a name for the steps from what is applied to what is
wanted, so that its notices (seen, settled, began, done) belong together.
"""

from __future__ import annotations

from dataclasses import replace

from appagent.core.release import short
from appagent.core.state import App, Attempt, Queue
from appagent.core.transition import Turn
from appagent.core.want import Kind, Want
from appagent.model.applied import Deploy
from appagent.model.commands import Drop, Rewatch
from appagent.model.notices import NoticeKind
from appagent.model.words import Layout, Location, Version


def reason_for(turn: Turn, app: App, wanted: Want) -> str:
    """Why there is something to do, in a few words."""
    applied = app.record.applied
    if app.attempt.requested_by:
        return f"asked by {app.attempt.requested_by}"
    if wanted.kind is Kind.REMOVED:
        return "removed from the share"
    if wanted.kind is Kind.STOPPED:
        return wanted.why
    if wanted.back:
        last = app.record.failures[-1]
        return f"rollback: {last.target} of {short(last.version.release)} failed"
    if not applied.installed and app.record.last_good is None and applied.up != turn.node.boot:
        return "new app"
    known = app.record.last_good
    if applied.installed != wanted.version.release:
        same = known is not None and known.release == wanted.version.release
        return "install again" if same else "new release"
    if applied.up != turn.node.boot:
        return "boot" if applied.may_run not in ("", turn.node.boot) else "start"
    if known is not None and known.release == wanted.version.release and known != wanted.version:
        return "environment changed"
    return "new release" if known is None or known.release != wanted.version.release else "again"


def new_deploy(
    turn: Turn, app: App, version: Version, path: str, reason: str = ""
) -> tuple[App, Deploy]:
    """Give a difference the id of a deploy, and report that it was seen."""
    previous = app.record.last_good.release if app.record.last_good else ""
    how = app.seen.latest.how if app.seen.latest is not None else ""
    deploy = Deploy(turn.make_id(), version, previous, how, turn.now)
    app = turn.put(replace(app, attempt=replace(app.attempt, deploy=deploy)))
    turn.report(
        NoticeKind.DEPLOY_SEEN,
        app,
        release=version.release,
        previous=previous,
        how=how,
        reason=reason,
        path=path,
    )
    return app, deploy


def supersede(turn: Turn, app: App, deploy: Deploy, reason: str, newer: str = "") -> App:
    """End a deploy that began and is not wanted any more."""
    release = deploy.version.release
    turn.report(NoticeKind.DEPLOY_SUPERSEDED, app, release=release, newer=newer, reason=reason)
    attempt = replace(app.attempt, deploy=None, in_progress=False)
    return turn.save(replace(app, attempt=attempt), app.record)


def note_deploy(turn: Turn, app: App, wanted: Want) -> App:
    """Give the steps to what is wanted the id of one deploy, and report from where to where."""
    if wanted.kind not in (Kind.RUN, Kind.KEEP):
        return app
    deploy, version = app.attempt.deploy, wanted.version
    if deploy is not None and deploy.version == version and deploy.settled is not None:
        return app
    reason = reason_for(turn, app, wanted)
    if deploy is not None and deploy.began is not None:
        app, deploy = supersede(turn, app, deploy, reason, version.release), None
    if deploy is None:
        app, deploy = new_deploy(turn, app, version, wanted.at.directory, reason)
    deploy = replace(deploy, version=version, settled=turn.now)
    app = turn.put(replace(app, attempt=replace(app.attempt, deploy=deploy)))
    turn.report(
        NoticeKind.DEPLOY_SETTLED,
        app,
        release=version.release,
        previous=deploy.previous,
        conf=version.conf,
        reason=reason,
        how=deploy.how,
        path=", ".join(app.seen.changed[:5]) if wanted.at.layout is Layout.TREE else "",
    )
    return app


def conclude(turn: Turn, app: App) -> App:
    """The version of this deploy is healthy: report it, and remember where it lies.

    Also when a newer version is already wanted.
    """
    deploy = app.attempt.deploy
    if deploy is not None and deploy.began is not None and deploy.settled is not None:
        seen, settled, began = deploy.seen.mono, deploy.settled.mono, deploy.began.mono
        turn.report(
            NoticeKind.DEPLOY_DONE,
            app,
            release=deploy.version.release,
            previous=deploy.previous,
            conf=deploy.version.conf,
            settled_ms=round((settled - seen) * 1000),
            queue_ms=round((began - settled) * 1000),
            run_ms=round((turn.now.mono - began) * 1000),
            duration_ms=round((turn.now.mono - seen) * 1000),
        )
    app = replace(app, attempt=Attempt(), churn=replace(app.churn, superseded=0))
    return remember(turn, app, app.record.ran)


def remember(turn: Turn, app: App, at: Location | None) -> App:
    """Record the last good version and where it lies, for a rollback and for its stop."""
    good = app.record.applied.healthy
    if good is None:
        return turn.save(app, app.record)
    if at is None or at.release != good.release:
        return turn.save(app, replace(app.record, last_good=good, last_good_at=None))
    return turn.save(app, replace(app.record, last_good=good, last_good_at=at, ran=at))


def finish(turn: Turn, app: App, wanted: Want) -> None:
    """Nothing is left to do: the deploy is over, or the app is removed."""
    if wanted.kind is Kind.WAIT:
        # What changes while it waits is not part of the deploy that was under way.
        turn.put(replace(app, attempt=replace(app.attempt, in_progress=False)))
        return
    if wanted.kind is Kind.REMOVED:
        turn.report(NoticeKind.APP_REMOVED, app, root=app.record.root)
        turn.do(Drop(app.name))
        turn.do(Rewatch())
        turn.drop(app.name)
        return
    deploy = app.attempt.deploy
    if deploy is not None and deploy.began is not None:
        if app.record.applied.running == deploy.version:
            app = conclude(turn, app)
        else:
            app = supersede(turn, app, deploy, wanted.why)
    elif deploy is not None and (deploy.settled is not None or at_rest(app)):
        # The change was reverted before anything began.
        turn.report(NoticeKind.DEPLOY_VOID, app)
        app = replace(app, attempt=replace(app.attempt, deploy=None))
    attempt = Attempt(deploy=app.attempt.deploy)  # one that waits until its files are complete
    if wanted.kind is Kind.RUN:
        app = replace(app, churn=replace(app.churn, superseded=0))
    else:
        attempt = replace(attempt, override=app.attempt.override)
    last_failed = app.last_failed if app.record.failures else None
    app = turn.put(replace(app, attempt=attempt, last_failed=last_failed, queue=Queue()))
    if wanted.kind is Kind.RUN and app.record.applied.healthy == wanted.version and not wanted.back:
        remember(turn, app, wanted.at)


def at_rest(app: App) -> bool:
    """Whether the newest release that was seen is the newest complete one."""
    return app.seen.latest is not None and app.seen.latest.release == app.seen.settled
