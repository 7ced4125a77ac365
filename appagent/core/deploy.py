"""A deploy from its first difference to its end: named, told about, and remembered when it is good.

Nothing here decides what is run. A deploy is a name for the way from what is applied to what is
wanted, so that its facts (seen, settled, began, done) can be read as one story.
"""

from __future__ import annotations

from dataclasses import replace

from appagent.core.state import App
from appagent.core.turn import Turn
from appagent.core.want import Kind, Want
from appagent.model import Deploy, Drop, Layout, Level, Rewatch


def reason_for(turn: Turn, app: App, wanted: Want) -> str:
    """Why there is something to do, in a few words."""
    applied = app.record.applied
    if app.asked:
        return f"asked by {app.asked}"
    if wanted.kind is Kind.GONE:
        return "gone from the share"
    if wanted.kind is Kind.STOPPED:
        return wanted.why
    if wanted.back:
        last = app.record.failures[-1]
        return f"back to the last good release: {last.target} of {last.version.release} failed"
    if not applied.installed and app.record.last_good is None and applied.up != turn.node.boot:
        return "new app"
    known = app.record.last_good
    if applied.installed != wanted.version.release:
        same = known is not None and known.release == wanted.version.release
        return "install again" if same else "new release"
    if applied.up != turn.node.boot:
        return "boot" if applied.up else "start"
    if known is not None and known.release == wanted.version.release and known != wanted.version:
        return "environment changed"
    return "new release" if known is None or known.release != wanted.version.release else "again"


def note_deploy(turn: Turn, app: App, wanted: Want) -> App:
    """Name the way to what is wanted as one deploy, and tell what it leads from and to."""
    if wanted.kind not in (Kind.RUN, Kind.KEEP):
        return app
    deploy, version = app.deploy, wanted.version
    if deploy is not None and deploy.version == version and deploy.settled is not None:
        return app
    reason = reason_for(turn, app, wanted)
    how = app.look.how if app.look is not None else ""
    if deploy is not None and deploy.begun is not None:
        turn.tell(
            "deploy.superseded",
            f"{app.name}: {deploy.version.release} is overtaken by {version.release}",
            app,
            release=deploy.version.release,
            reason=reason,
        )
        deploy = None
    if deploy is None:
        previous = app.record.last_good.release if app.record.last_good else ""
        deploy = Deploy(turn.make_id(), version, previous, how, turn.now)
        app = turn.put(replace(app, deploy=deploy))
        turn.tell(
            "deploy.seen",
            f"{app.name}: {reason}: {version.release}",
            app,
            release=version.release,
            previous=previous,
            how=how,
            reason=reason,
            path=wanted.release_dir,
        )
    app = turn.put(replace(app, deploy=replace(deploy, version=version, settled=turn.now)))
    turn.tell(
        "deploy.settled",
        f"{app.name}: {version.release} is complete; {reason}",
        app,
        release=version.release,
        previous=deploy.previous,
        conf=version.conf,
        reason=reason,
        how=deploy.how,
        path=", ".join(app.changed[:5]) if wanted.layout is Layout.TREE else "",
    )
    return app


def finish(turn: Turn, app: App, wanted: Want) -> None:
    """Nothing is left to do: the deploy is done, or the app is gone for good."""
    if wanted.kind is Kind.WAIT:
        return
    if wanted.kind is Kind.GONE:
        turn.tell("app.gone", f"{app.name} has left {app.record.root}", app)
        turn.do(Drop(app.name))
        turn.do(Rewatch())
        turn.node = turn.node.without_app(app.name)
        return
    deploy = app.deploy
    current = app.look is not None and app.look.release == app.settled
    there = deploy is not None and app.record.applied.running == deploy.version
    if deploy is not None and deploy.begun is not None and not there:
        turn.tell(
            "deploy.superseded",
            f"{app.name}: {deploy.version.release} is left as it is: {wanted.why}",
            app,
            release=deploy.version.release,
            reason=wanted.why,
        )
        app = replace(app, deploy=None)
    elif deploy is not None and deploy.begun is not None and deploy.settled is not None:
        seen, settled, begun = deploy.seen.mono, deploy.settled.mono, deploy.begun.mono
        turn.tell(
            "deploy.done",
            f"{app.name}: {deploy.version.release} is good, "
            f"{turn.now.mono - seen:.1f} s after it was seen "
            f"(complete after {settled - seen:.1f} s, begun after {begun - settled:.1f} s, "
            f"done in {turn.now.mono - begun:.1f} s)",
            app,
            release=deploy.version.release,
            previous=deploy.previous,
            conf=deploy.version.conf,
            settled_ms=round((settled - seen) * 1000),
            begun_ms=round((begun - settled) * 1000),
            good_ms=round((turn.now.mono - begun) * 1000),
            duration_ms=round((turn.now.mono - seen) * 1000),
        )
        app = replace(app, deploy=None)
    elif deploy is not None and (current or deploy.settled is not None):
        # It went back to what is applied before anything began: nothing to tell but that.
        turn.tell("deploy.void", f"{app.name}: as it was before; nothing to do", app, Level.DEBUG)
        app = replace(app, deploy=None)
    last = app.last if app.record.failures else None
    done = replace(app, flowing=False, backoff=None, asked="", last=last, permit=None, asking=None)
    if wanted.kind is Kind.RUN:
        done = replace(done, overtaken=0, insist="")
    if done != app:
        turn.put(done)
    if wanted.kind is Kind.RUN and app.record.applied.good == wanted.version and not wanted.back:
        remember(turn, turn.node.apps[app.name], wanted)


def remember(turn: Turn, app: App, wanted: Want) -> None:
    """Where the last good release lies, for the way back."""
    record = app.record
    if (record.last_good, record.last_good_dir) == (wanted.version, wanted.release_dir):
        return
    record = replace(record, last_good=wanted.version, last_good_dir=wanted.release_dir)
    turn.save(app, record)
