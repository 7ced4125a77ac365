"""Put what a watcher saw into the node. Decides nothing: the apps concerned are compared."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from appagent.core.deploy import new_deploy
from appagent.core.discovery import apps_of, note_absence, note_names, note_refused, take_in
from appagent.core.ignore import made_under
from appagent.core.settle import is_settled
from appagent.core.state import App, Root, Unsettled
from appagent.core.transition import Turn
from appagent.core.want import env_paths
from appagent.model.commands import PollNow, Rewatch, SaveRoots
from appagent.model.events import AppObserved, WatcherBack, WatcherStuck
from appagent.model.notices import NoticeKind
from appagent.model.seen import EnvSeen, RootSeen
from appagent.model.words import Version

UNNOTICED = 5.0  # s that a share may be unavailable before its watcher notices


def root_observed(turn: Turn, seen: RootSeen) -> None:
    """A root was scanned."""
    old = turn.node.roots.get(seen.root, Root(since=turn.now.mono))
    late = seen.at < (old.seen.at if old.seen is not None else old.back)
    if turn.node.root_settings(seen.root) is None or late:
        return
    changed = old.known != seen.known or old.seen is None
    # What was stuck has been unavailable since then, however the call that hung returns.
    since = turn.now.mono if changed and not old.stuck else old.since
    turn.node = turn.node.with_root(
        seen.root, replace(old, seen=seen, known=seen.known, why=seen.why, since=since)
    )
    if not seen.known:
        if changed or old.why != seen.why:
            turn.report(NoticeKind.ROOT_UNKNOWN, path=seen.root, reason=seen.why)
        note_absence(turn, seen.root)
        turn.touch(*apps_of(turn, seen.root))
        return
    if changed and old.seen is not None:
        turn.report(NoticeKind.ROOT_KNOWN, path=seen.root)
        come_back(turn, seen.root, old.since, seen.at)
    if seen.mounted and seen.root not in turn.node.mounted:
        turn.node = replace(turn.node, mounted=turn.node.mounted | {seen.root})
        turn.do(SaveRoots(turn.node.mounted))
        turn.do(Rewatch())
    note_refused(turn, seen)
    note_names(turn, seen)


def come_back(turn: Turn, path: str, since: float, until: float) -> None:
    """A share is available again: what was seen and what failed before counts no more.

    What was seen may not be there any more, so apps wait for a newer scan. A failure does not show
    that the version is bad: a target that reads from the share fails or hangs like everyone, and
    may have done so before the watcher noticed the outage.
    """
    turn.node = turn.node.with_root(path, replace(turn.node.roots[path], back=turn.now.mono))
    lost = turn.now.wall - (turn.now.mono - since) - UNNOTICED
    for name in apps_of(turn, path):
        app = turn.node.apps[name]
        if app.seen.latest is not None and app.seen.latest.at < until:
            app = turn.put(replace(app, seen=replace(app.seen, latest=None)))
        kept = tuple(failure for failure in app.record.failures if failure.at < lost)
        if kept != app.record.failures:
            failed_for = app.record.failed_for if kept else None
            turn.save(app, replace(app.record, failures=kept, failed_for=failed_for))
    turn.do(PollNow(path, ""))


def app_observed(turn: Turn, event: AppObserved) -> None:
    """An app was seen by its watcher."""
    seen = event.seen
    app = turn.app(seen.app)
    if app is None or app.record.root != seen.root:
        return
    before = app.seen.latest
    if before is not None and seen.at < before.at:
        return  # late: a newer one is known
    # While an app is unknown, its own settings stay in force.
    state = replace(app.seen, latest=seen, changed=seen.changing or app.seen.changed)
    if seen.known and (event.own, event.own_error) != (state.own, state.own_error):
        state = replace(state, own=event.own, own_error=event.own_error)
        turn.do(Rewatch())
    if before is not None and before.incomplete and seen.known and not seen.incomplete:
        state = replace(state, unsettled=None)  # only from now on can it settle
    app = turn.put(replace(app, seen=state))
    turn.touch(seen.app)
    # Which `ignore` lines the app itself has is known only now, and those of the node may have just
    # changed. What was scanned under other lines is not compared: the watcher gets the right ones
    # and scans again.
    settings = turn.node.settings_of(app)
    if seen.known and made_under(seen.release, settings.ignore):
        app = rerecord(turn, app)
        note_settled(turn, app)


def renamed(value: Any, old: str, new: str) -> Any:  # noqa: ANN401 - any value of a record
    """The same value with another release id wherever the old one stands."""
    if type(value) is tuple:
        return tuple(renamed(each, old, new) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if field.name != "app"]
        return replace(value, **{name: renamed(getattr(value, name), old, new) for name in names})
    return new if value == old else value


def rerecord(turn: Turn, app: App) -> App:
    """The same files under an id of another scheme or of other `ignore` lines: no deploy."""
    seen, record = app.seen.latest, app.record
    old = record.applied.installed
    if seen is None or not old or seen.also != old or seen.release == old:
        return app
    record = replace(renamed(record, old, seen.release), ignore=turn.node.settings_of(app).ignore)
    app = replace(app, starting=renamed(app.starting, old, seen.release))
    app = turn.save(app, record)
    turn.do(Rewatch())
    turn.report(NoticeKind.APP_RERECORDED, app, release=seen.release, previous=old)
    settled = renamed(app.seen.settled, old, seen.release)
    return turn.put(replace(app, seen=replace(app.seen, settled=settled)))


def note_settled(turn: Turn, app: App) -> None:
    """Note whether what is seen is complete, and since when it is not."""
    seen = app.seen.latest
    if seen is None:
        return
    settings = turn.node.settings_of(app)
    if is_settled(seen, settings, app.record.applied.installed):
        turn.put(replace(app, seen=replace(app.seen, settled=seen.release, unsettled=None)))
        return
    if app.seen.unsettled is None:
        app = replace(app, seen=replace(app.seen, unsettled=Unsettled(turn.now)))
    if app.attempt.deploy is None and seen.release != app.record.applied.installed:
        app, _ = new_deploy(turn, app, Version(seen.release, ""), seen.release_dir)
    turn.put(app)


def env_observed(turn: Turn, seen: EnvSeen) -> None:
    """An env file was read."""
    turn.node = replace(turn.node, envs={**turn.node.envs, seen.path: seen})
    touch_users(turn, seen.path)


def touch_users(turn: Turn, path: str) -> None:
    """Compare the apps that use an env file."""
    for name, app in turn.node.apps.items():
        root = turn.node.root_settings(app.record.root)
        if root is not None and any(p == path for p, _ in env_paths(root, name)):
            turn.touch(name)


def watcher_stuck(turn: Turn, event: WatcherStuck) -> None:
    """A watcher does not answer: everything that it watches is unknown."""
    fresh = False
    for path in event.paths:
        root = turn.node.roots.get(path)
        if turn.node.root_settings(path) is not None:
            root = root or Root(since=turn.now.mono)
            fresh = fresh or not root.stuck
            turn.node = turn.node.with_root(path, replace(root, stuck=event.why, since=event.since))
            note_absence(turn, path)
            turn.touch(*apps_of(turn, path))
        else:
            fresh = fresh or path not in turn.node.envs_stuck
            stuck = {**turn.node.envs_stuck, path: event.why}
            turn.node = replace(turn.node, envs_stuck=stuck)
            touch_users(turn, path)
    if fresh:
        path = event.paths[0] if event.paths else ""
        turn.report(NoticeKind.WATCHER_STUCK, path=path, reason=event.why)


def watcher_back(turn: Turn, event: WatcherBack) -> None:
    """A watcher answers again."""
    was = False
    for path in event.paths:
        root = turn.node.roots.get(path)
        if root is not None and root.stuck:
            was = True
            # The listing from before could not be trusted on who is absent.
            anew = Root() if root.known else replace(root, stuck="")
            turn.node = turn.node.with_root(path, replace(anew, since=turn.now.mono))
            come_back(turn, path, root.since, turn.now.mono)
            note_absence(turn, path)
            take_in(turn)
            turn.touch(*apps_of(turn, path))
        if path in turn.node.envs_stuck:
            was = True
            remaining = {k: v for k, v in turn.node.envs_stuck.items() if k != path}
            turn.node = replace(turn.node, envs_stuck=remaining)
            touch_users(turn, path)
    if was:
        turn.report(NoticeKind.WATCHER_BACK, path=", ".join(event.paths[:3]))
