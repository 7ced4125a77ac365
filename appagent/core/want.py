"""From what is seen to what is wanted.

Theory of operation. An app is *present*, *absent* or *unknown*, and only one function decides
which: `see`. Any doubt is unknown: a root that cannot be read, a watcher that hangs, an env file
that cannot be read, more than half of a root's apps removed at once. `want` then makes one `Want`
of what is seen and of what people asked for (hold, stop). For an unknown app nothing is wanted: no
run begins and none is ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from appagent.core.ids import NO_FILE, conf_id, user_text
from appagent.core.names import managed
from appagent.core.settle import half_there
from appagent.core.state import App, Node, Root
from appagent.model.applied import Hold, Record
from appagent.model.seen import AppSeen
from appagent.model.settings import RootSettings
from appagent.model.words import Layout, Location, Now, Version


class Kind(StrEnum):
    """What is wanted for an app on this node."""

    RUN = "run"  # this version, running and healthy
    KEEP = "keep"  # what is applied; started if it is down
    STOPPED = "stopped"  # by a person
    REMOVED = "removed"  # removed from the share
    WAIT = "wait"  # nothing can be decided now


NOWHERE = Location("", "", Layout.TREE)


@dataclass(frozen=True, slots=True)
class Want:
    """What is wanted of one app, and why if it is to wait.

    `at` is the release that is wanted and where it lies; the two always belong together.
    """

    kind: Kind
    why: str = ""
    # For WAIT: unknown | settling | blocked | unmanaged | scanning | shutting-down | held | failed;
    # for KEEP: held | cancelled.
    word: str = ""
    at: Location = NOWHERE
    conf: str = ""
    until: float | None = None  # mono: when the app is stopped, if it does not come back
    back: bool = False  # the last good version, because the one that is seen failed

    @property
    def version(self) -> Version:
        """The version that is wanted."""
        return Version(self.at.release, self.conf)


def wait(word: str, why: str) -> Want:
    """Nothing begins."""
    return Want(Kind.WAIT, why, word)


def env_paths(root: RootSettings, app: str) -> tuple[tuple[str, bool], ...]:
    """The env files of an app in order: (path, may be missing)."""
    return tuple(
        (spec.removeprefix("-").replace("{app}", app), spec.startswith("-"))
        for spec in root.env_files
    )


def environment(node: Node, root: RootSettings, app: App) -> tuple[str, str, str]:
    """The id of an app's environment, or ("", word, why) if it is not known now."""
    digests = []
    for path, optional in env_paths(root, app.name):
        if path in node.envs_stuck:
            return "", "unknown", f"{path}: {node.envs_stuck[path]}"
        env = node.envs.get(path)
        if env is None:
            return "", "scanning", f"{path} was not read yet"
        if env.state == "unknown":
            return "", "unknown", f"{path}: {env.why}"
        if env.state == "broken":
            return "", "blocked", env.why
        if env.state == "missing":
            if not optional:
                return "", "blocked", f"{path}: the env file is missing"
            digests.append(NO_FILE)
        else:
            digests.append(env.digest)
    owner = app.seen.latest.owner if app.seen.latest is not None else -1
    return conf_id(user_text(root.run_as, owner), digests), "", ""


def trouble(node: Node, app: App) -> Want | None:
    """Why the app cannot be seen at all now, or None."""
    root = node.root_settings(app.record.root)
    if root is None:
        return wait("unmanaged", f"the configuration has no root {app.record.root}")
    if not managed(app.name, root.include, root.exclude):
        return wait("unmanaged", "the configuration leaves it out")
    state = node.roots.get(root.path, Root(why=f"{root.path} was not scanned yet"))
    if state.stuck:
        return wait("unknown", state.stuck)
    if not state.known:
        return wait("scanning" if state.seen is None else "unknown", state.why)
    return None


def see(node: Node, app: App, now: Now) -> Want | None:
    """Whether the app is removed, unknown, or (None) present."""
    away = trouble(node, app)
    if away is not None:
        return away
    if app.seen.listed is False:
        if app.record.forgotten:
            return Want(Kind.REMOVED)
        state = node.roots[app.record.root]
        if state.seen is not None and state.seen.empty:
            return wait("unknown", f"{app.record.root} is empty: is the share mounted there?")
        if app.record.mass_removal:
            return wait(
                "unknown",
                f"more than half of the apps of {app.record.root} were removed at once; if that is "
                f"intended: appagent forget {app.name}",
            )
        after = node.settings_of(app).gone_after
        since = app.seen.absent_since if app.seen.absent_since is not None else now.mono
        if now.mono < since + after:  # the same sum as in `waking`, so that it is over at the wake
            return replace(wait("unknown", "missing from the share"), until=since + after)
        return Want(Kind.REMOVED)
    if app.seen.listed is None or app.seen.latest is None:
        return wait("scanning", "not scanned yet")
    if not app.seen.latest.known:
        return wait("unknown", app.seen.latest.why)
    return None


def hold_of(node: Node, app: App, now: Now) -> Hold | None:
    """The hold that is in force for an app: its own, or the node's."""
    holds = (app.record.hold, node.hold)
    return next((hold for hold in holds if hold is not None and not hold.over(now)), None)


def rollback_target(node: Node, app: App, seen: Version) -> Want | None:
    """The last good version, if the one that is seen failed and a rollback is possible."""
    good, latest = app.record.last_good_at, app.seen.latest
    if good is None or latest is None or latest.layout is not Layout.SYMLINK:
        return None
    if node.settings_of(app).on_failure != "previous":
        return None
    if good.layout is not Layout.SYMLINK or good.release == seen.release:
        return None
    back = Want(Kind.RUN, at=good, conf=seen.conf, back=True)
    return None if app.record.has_failed(back.version) else back


def seen_version(node: Node, app: App) -> Version | None:
    """The newest version that was seen complete, if its environment is known too."""
    root = node.root_settings(app.record.root)
    if root is None or not app.seen.settled:
        return None
    conf, _, _ = environment(node, root, app)
    return Version(app.seen.settled, conf) if conf else None


def want(node: Node, app: App, now: Now) -> Want:
    """What is wanted of an app now."""
    verdict = see(node, app, now)
    theirs = verdict is not None and (verdict.kind is Kind.REMOVED or verdict.word == "unmanaged")
    if app.record.stopped and not theirs:
        return Want(Kind.STOPPED, why="stopped by a person")
    if node.shutdown and not theirs:
        if node.settings_of(app).on_shutdown == "stop":
            return Want(Kind.STOPPED, why="the machine shuts down")
        return wait("shutting-down", "the machine shuts down")
    hold = hold_of(node, app, now)
    if verdict is not None:
        if verdict.kind is Kind.REMOVED and hold is not None and not app.record.forgotten:
            return wait("held", f"{hold.why}; missing from the share")
        return verdict
    root, latest = node.root_settings(app.record.root), app.seen.latest
    if root is None or latest is None:  # excluded by `see`; for mypy
        return wait("scanning", "not scanned yet")
    conf, word, why = environment(node, root, app)
    if not conf:
        return wait(word, why)
    if hold is not None:
        return keep(app, conf, "held", f"{hold.why} (by {hold.by})" if hold.by else hold.why)
    if app.seen.own_error:
        return wait("blocked", app.seen.own_error)
    return forward(node, app, latest, conf)


def forward(node: Node, app: App, latest: AppSeen, conf: str) -> Want:
    """Want the newest complete release; if it failed here, the last good one, or nothing new."""
    pinned = app.attempt.override.pinned if latest.layout is Layout.TREE else ""
    release = pinned or app.seen.settled
    seen, cancelled = Version(release, conf), app.record.cancelled
    if cancelled is not None and cancelled.version == seen:
        how = f"push a new release, or continue with: appagent trigger {app.name}"
        return keep(app, conf, "cancelled", f"by {cancelled.by}; {how}")
    at = location(app.record, latest, release) if release else None
    if at is None:
        return wait("settling", half_there(latest) or "waiting for it to settle")
    if app.record.has_failed(seen):
        back = rollback_target(node, app, seen)
        if back is not None:
            return back
        if app.record.applied.up == node.boot:
            last = app.record.failures[-1]
            return wait("failed", f"{last.target} failed: {last.line or last.outcome}")
    return Want(Kind.RUN, at=at, conf=conf)


def in_place(layout: Layout | None, release: str) -> bool:
    """Whether this is a release of a layout in which each takes the place of the one before."""
    return layout in (Layout.GIT, Layout.TREE) and release.startswith(f"{layout}.")


def location(record: Record, latest: AppSeen, release: str) -> Location | None:
    """Where a release lies, or None if that is not known.

    A newer, incomplete release may be seen already: then its directory is not the one wanted here,
    unless all releases of the app lie in the same.
    """
    if latest.layout is not None and (
        release == latest.release or in_place(latest.layout, release)
    ):
        return Location(release, latest.release_dir, latest.layout)
    known = (record.ran, record.last_good_at)
    return next((at for at in known if at is not None and at.release == release), None)


def version_of(app: App, wanted: Want) -> Version:
    """The version that a run is about: the wanted one, or for a stop what was applied."""
    return Version(location_of(app, wanted).release, wanted.conf)


def location_of(app: App, wanted: Want) -> Location:
    """Where a run is to be: at what is wanted, or for a stop at what has run.

    A lost record does not have that; then it is the app's own directory.
    """
    if wanted.kind not in (Kind.REMOVED, Kind.STOPPED):
        return wanted.at
    own = f"{app.record.root.rstrip('/')}/{app.name}"
    return app.record.ran or Location("", own, Layout.TREE)


def keep(app: App, conf: str, word: str, why: str) -> Want:
    """Want what has run here, with the environment as it is now.

    A release that was installed since but never ran is not kept. But where each release takes the
    place of the one before, it is all there is.
    """
    at, installed = app.record.ran, app.record.applied.installed
    if at is not None and in_place(at.layout, installed):
        at = replace(at, release=installed)
    return Want(Kind.KEEP, why, word, at or NOWHERE, conf)
