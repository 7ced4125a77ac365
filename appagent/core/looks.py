"""What the eye saw, put into the node. Nothing is decided here: the apps concerned are compared."""

from __future__ import annotations

from dataclasses import replace

from appagent.core.names import managed
from appagent.core.settings import settings_for
from appagent.core.settle import is_settled
from appagent.core.state import App, Root
from appagent.core.turn import Turn
from appagent.core.want import env_paths
from appagent.model import (
    Deploy,
    EnvLook,
    EyeBack,
    EyeStuck,
    Level,
    Looked,
    LookNow,
    Record,
    Rewatch,
    RootLook,
    Save,
    SaveRoots,
    Version,
)


def apps_of(turn: Turn, root: str) -> list[str]:
    """The names of the apps that belong to a root."""
    return [name for name, app in turn.node.apps.items() if app.record.root == root]


def root_looked(turn: Turn, look: RootLook) -> None:
    """A root was looked at."""
    settings = turn.node.root_settings(look.root)
    if settings is None:
        return
    old = turn.node.roots.get(look.root, Root(since=turn.now.mono))
    changed = old.known != look.known or old.look is None
    since = turn.now.mono if changed else old.since
    turn.node = turn.node.with_root(
        look.root, replace(old, look=look, known=look.known, why=look.why, since=since)
    )
    if not look.known:
        if changed or old.why != look.why:
            turn.tell(
                "root.unknown",
                f"{look.root}: {look.why}; nothing is begun or stopped there until it is back",
                level=Level.WARNING,
                path=look.root,
            )
        forget_absence(turn, look.root)
        turn.touch(*apps_of(turn, look.root))
        return
    if changed and old.look is not None:
        turn.tell("root.known", f"{look.root} is back", path=look.root)
    if look.mounted and look.root not in turn.node.mounted:
        turn.node = replace(turn.node, mounted=turn.node.mounted | {look.root})
        turn.do(SaveRoots(turn.node.mounted))
        turn.do(Rewatch())
    note_refused(turn, look)
    note_names(turn, look, set(look.names))


def note_refused(turn: Turn, look: RootLook) -> None:
    """Say once of each entry that cannot be an app why it cannot."""
    prefix = look.root.rstrip("/") + "/"
    mine = {prefix + name: why for name, why in look.refused.items()}
    others = {
        path: why
        for path, why in turn.node.refused.items()
        if path.rpartition("/")[0] + "/" != prefix or path.rpartition("/")[2] in look.names
    }
    for path, why in mine.items():
        if turn.node.refused.get(path) != why:
            turn.tell("app.refused", f"{path}: {why}", level=Level.WARNING, path=path)
    turn.node = replace(turn.node, refused={**others, **mine})


def note_names(turn: Turn, look: RootLook, names: set[str]) -> None:
    """Compare the names in a root with the apps that are known: new, here, or absent."""
    settings = turn.node.root_settings(look.root)
    for name in apps_of(turn, look.root):
        app = turn.node.apps[name]
        if name in names:
            turn.put(replace(app, listed=True, absent_since=None, forgotten=False))
        elif app.listed is not False or app.absent_since is None:
            turn.put(replace(app, listed=False, absent_since=turn.now.mono))
        turn.touch(name)
    for name in sorted(names):
        known = turn.node.apps.get(name)
        if settings is None or not managed(name, settings.include, settings.exclude):
            continue
        if known is None:
            turn.put(App(Record(app=name, root=look.root), listed=True))
            turn.do(Rewatch())  # its env files are to be read
            turn.do(LookNow(look.root, name))
            turn.touch(name)
        elif known.record.root != look.root:
            claim(turn, known, look.root)


def claim(turn: Turn, app: App, root: str) -> None:
    """A second root has an app of the same name: it moved there, or the name is taken."""
    old = turn.node.root_settings(app.record.root)
    if old is None or app.listed is False:
        if app.record.root:  # a record that was lost does not know where its app was
            turn.tell("app.moved", f"{app.name} is now in {root}, not in {app.record.root}", app)
        record = replace(app.record, root=root)
        turn.do(Save(record))
        turn.put(App(record, listed=True, starting=app.starting))
        turn.do(Rewatch())
        turn.do(LookNow(root, app.name))
        turn.touch(app.name)
        return
    path = f"{root.rstrip('/')}/{app.name}"
    why = f"an app of this name is in {app.record.root} already; names are unique on a node"
    if turn.node.refused.get(path) != why:
        turn.tell("app.refused", f"{path}: {why}", level=Level.WARNING, path=path)
        turn.node = replace(turn.node, refused={**turn.node.refused, path: why})


def looked(turn: Turn, event: Looked) -> None:
    """An app was looked at."""
    look = event.look
    app = turn.app(look.app)
    if app is None or app.record.root != look.root:
        return
    if (event.own, event.own_error) != (app.own, app.own_error):
        app = replace(app, own=event.own, own_error=event.own_error)
        turn.do(Rewatch())
    app = turn.put(replace(app, look=look, changed=look.changing or app.changed))
    turn.touch(look.app)
    if look.known:
        app = rerecord(turn, app)
        note_settled(turn, app)


def rerecord(turn: Turn, app: App) -> App:
    """An id of an older scheme, or of other ignore lines, that says the same: no deploy."""
    look, record = app.look, app.record
    old = record.applied.installed
    if look is None or not old or look.also != old or look.release == old:
        return app

    def renamed(version: Version | None) -> Version | None:
        if version is not None and version.release == old:
            return replace(version, release=look.release)
        return version

    applied = replace(
        record.applied,
        installed=look.release,
        running=renamed(record.applied.running),
        good=renamed(record.applied.good),
    )
    ignore = settings_for(turn.node.settings, app.name, app.own).ignore
    record = replace(
        record,
        applied=applied,
        ignore=ignore,
        built=tuple(look.release if release == old else release for release in record.built),
        last_good=renamed(record.last_good),
        failed_for=renamed(record.failed_for),
        failures=tuple(
            replace(failure, version=renamed(failure.version) or failure.version)
            for failure in record.failures
        ),
    )
    app = turn.save(app, record)
    turn.do(Rewatch())
    turn.tell(
        "app.rerecorded",
        f"{app.name}: the same files under a new kind of id; nothing to deploy",
        app,
        release=look.release,
        previous=old,
    )
    return turn.put(replace(app, settled=look.release if app.settled == old else app.settled))


def note_settled(turn: Turn, app: App) -> None:
    """Whether what is seen is complete; since when it is not."""
    look = app.look
    if look is None:
        return
    settings = settings_for(turn.node.settings, app.name, app.own)
    if is_settled(look, settings, app.record.applied.installed):
        turn.put(replace(app, settled=look.release, unsettled_since=None, waited=False))
        return
    if app.unsettled_since is None:
        app = replace(app, unsettled_since=turn.now)
    if app.deploy is None and look.release != app.record.applied.installed:
        previous = app.record.last_good.release if app.record.last_good else ""
        deploy = Deploy(turn.make_id(), Version(look.release, ""), previous, look.how, turn.now)
        app = turn.put(replace(app, deploy=deploy))
        turn.tell(
            "deploy.seen",
            f"{app.name}: a change was seen ({look.how}); waiting until it is complete",
            app,
            release=look.release,
            previous=previous,
            how=look.how,
            path=look.release_dir,
        )
    turn.put(app)


def env_looked(turn: Turn, look: EnvLook) -> None:
    """An env file was read."""
    turn.node = replace(turn.node, envs={**turn.node.envs, look.path: look})
    touch_users(turn, look.path)


def touch_users(turn: Turn, path: str) -> None:
    """Compare the apps that use an env file."""
    for name, app in turn.node.apps.items():
        root = turn.node.root_settings(app.record.root)
        if root is not None and any(p == path for p, _ in env_paths(root, name)):
            turn.touch(name)


def forget_absence(turn: Turn, root: str) -> None:
    """Absence counts only over an unbroken row of good looks."""
    for name in apps_of(turn, root):
        app = turn.node.apps[name]
        if app.absent_since is not None:
            turn.put(replace(app, absent_since=None))


def eye_stuck(turn: Turn, event: EyeStuck) -> None:
    """An eye does not answer: everything it looks at is unknown."""
    fresh = False
    for path in event.paths:
        root = turn.node.roots.get(path)
        if turn.node.root_settings(path) is not None:
            root = root or Root(since=turn.now.mono)
            fresh = fresh or not root.stuck
            turn.node = turn.node.with_root(path, replace(root, stuck=event.why, since=event.since))
            forget_absence(turn, path)
            turn.touch(*apps_of(turn, path))
        else:
            fresh = fresh or path not in turn.node.envs_stuck
            stuck = {**turn.node.envs_stuck, path: event.why}
            turn.node = replace(turn.node, envs_stuck=stuck)
            touch_users(turn, path)
    if fresh:
        turn.tell(
            "eye.stuck",
            f"{event.why}; apps go on as they are, nothing is begun or stopped until it answers",
            level=Level.WARNING,
            path=event.paths[0] if event.paths else "",
        )


def eye_back(turn: Turn, event: EyeBack) -> None:
    """An eye answers again."""
    was = False
    for path in event.paths:
        root = turn.node.roots.get(path)
        if root is not None and root.stuck:
            was = True
            turn.node = turn.node.with_root(path, replace(root, stuck="", since=turn.now.mono))
            for name in apps_of(turn, path):
                app = turn.node.apps[name]
                if app.listed is False:
                    turn.put(replace(app, absent_since=turn.now.mono))
            turn.touch(*apps_of(turn, path))
        if path in turn.node.envs_stuck:
            was = True
            left = {k: v for k, v in turn.node.envs_stuck.items() if k != path}
            turn.node = replace(turn.node, envs_stuck=left)
            touch_users(turn, path)
    if was:
        turn.tell("eye.back", f"the eye answers again for {', '.join(event.paths[:3])}")
