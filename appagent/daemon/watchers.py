"""The watchers of one daemon: one for each mounted share, one for all that is local.

Theory of operation. Which watcher looks at a path follows from the mount table, which is read
without touching any share. When it changes (a share is mounted late, or lost) the roots move to
another watcher; the looks of the old one are then void, because a root belongs to one watcher at a
time and what comes from another is not passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Protocol

from appagent.core.freshness import Place
from appagent.core.settings import settings_for
from appagent.core.state import App, Node
from appagent.core.want import env_paths, trouble
from appagent.host import proc
from appagent.model.events import (
    AppObserved,
    EnvObserved,
    Event,
    RootObserved,
    WatcherBack,
    WatcherStuck,
)
from appagent.model.notices import Level
from appagent.model.seen import AppSeen, Slow
from appagent.model.settings import AppSettings, RootSettings
from appagent.model.words import Layout
from appagent.report.log import Log
from appagent.share import manifest
from appagent.share.grouping import group
from appagent.share.process import Watcher
from appagent.share.watchlist import Also, AppSpec, RootSpec, Watchlist

SCHEME = "tree.1"  # of the signatures that a watcher makes now
LOOKS_PER_SECOND = 50.0  # of one node, over all its markers
SETTLE_LISTS = 0.02  # s in which several wishes for new lists become one
CHANGES_SHOWN = 50


class Daemon(Protocol):
    """What the watchers need of the agent."""

    node: Node
    secret: bytes
    log: Log

    def feed(self, event: Event) -> None:
        """Take an event."""

    def looked(self, look: AppSeen) -> None:
        """Take a look at an app."""


def root_spec(node: Node, root: RootSettings) -> RootSpec:
    """One root as its watcher is told of it; of the apps only what differs from the defaults."""
    mine = {name: app for name, app in node.apps.items() if app.record.root == root.path}
    apps: dict[str, AppSpec] = {}
    usual = app_spec(node.settings.defaults, None)
    for name in sorted(mine.keys() | node.settings.apps.keys()):
        app = mine.get(name)
        spec = app_spec(settings_for(node.settings, name, app.seen.own if app else {}), app)
        if spec != usual:
            apps[name] = spec
    return RootSpec(
        path=root.path,
        watch=root.watch,
        interval=root.interval,
        scan_interval=root.scan_interval,
        must_mount=must_mount(node, root),
        was_share=root.path in node.mounted,
        include=root.include,
        exclude=root.exclude,
        release_dirs=root.release_dirs,
        defaults=usual,
        apps=apps,
        known=tuple(sorted(mine)),
    )


def app_spec(settings: AppSettings, app: App | None) -> AppSpec:
    """How one app is looked at."""
    also = older_id(app, settings) if app is not None else None
    return AppSpec(settings.layout, settings.settle, settings.ignore, also)


def older_id(app: App, settings: AppSettings) -> Also | None:
    """The scheme and ignore lines of the id that is installed, where they are not today's."""
    record = app.record
    if not record.applied.installed.startswith("tree."):
        return None
    scheme = record.applied.installed.partition(":")[0]
    if scheme == SCHEME and record.ignore == settings.ignore:
        return None
    return Also(scheme, record.ignore)


def must_mount(node: Node, root: RootSettings) -> bool:
    """A root that is required to be a mounted share, or ever was one, must be one from then on."""
    if root.mount == "optional":
        return False
    return root.mount == "required" or root.path in node.mounted


def env_files(node: Node) -> tuple[str, ...]:
    """Every env file that some managed app has."""
    paths: set[str] = set()
    for name, app in node.apps.items():
        root = node.root_settings(app.record.root)
        away = trouble(node, app)
        if root is not None and not (away is not None and away.word == "unmanaged"):
            paths.update(path for path, _ in env_paths(root, name))
    return tuple(sorted(paths))


class Watchers:
    """All watchers, and which of them looks at what."""

    def __init__(self, daemon: Daemon, make: Callable[..., Watcher] = Watcher) -> None:
        """Nothing is started before the first list."""
        self.daemon = daemon
        self.make = make
        self.watchers: dict[str, Watcher] = {}  # by mount point, "" for local paths
        self.place: dict[str, str] = {}  # root or env file → the watcher's key
        self.soon: asyncio.TimerHandle | None = None
        self.table = ""  # the mount table that the places follow from
        self.closing = False

    @property
    def manifests(self) -> str:
        """Where the scans are kept."""
        return f"{self.daemon.node.settings.state_dir}/manifests"

    # --- lists -----------------------------------------------------------------------------------

    def rewatch_soon(self) -> None:
        """Send new lists, after what else this turn of the loop changes."""
        if self.soon is None and not self.closing:
            self.soon = asyncio.get_running_loop().call_later(SETTLE_LISTS, self.rewatch)

    def rewatch(self) -> None:
        """Send each watcher its list where it changed; start a watcher for a new share."""
        self.soon = None
        node = self.daemon.node
        roots = {root.path: root_spec(node, root) for root in node.settings.roots}
        envs = env_files(node)
        self.table = proc.mountinfo()
        groups = group(self.table, (*roots, *envs))
        self.place = {path: share for share, paths in groups.items() for path in paths}
        for share in self.watchers.keys() | groups.keys():
            paths = groups.get(share, ())
            watchlist = Watchlist(
                roots=tuple(roots[path] for path in paths if path in roots),
                env=tuple(path for path in paths if path not in roots),
                secret=self.daemon.secret,
                manifests=self.manifests,
                share=share,
                looks_per_second=LOOKS_PER_SECOND,
            )
            if share not in self.watchers:
                name = share or "local paths"
                self.watchers[share] = self.make(name, self.hears(share), self.log)
            if watchlist != self.watchers[share].watchlist:
                self.watchers[share].watch(watchlist)

    def check_mounts(self) -> None:
        """Move roots to other watchers when the mount table has changed."""
        if not self.closing and self.table and proc.mountinfo() != self.table:
            self.rewatch_soon()

    # --- looks -----------------------------------------------------------------------------------

    def hears(self, share: str) -> Callable[[Event], None]:
        """Pass on what a watcher says of the paths that are its own now."""

        def on_event(event: Event) -> None:
            match event:
                case AppObserved(look):
                    if self.place.get(look.root) == share:
                        self.daemon.looked(look)
                case RootObserved(root_seen) if self.place.get(root_seen.root) == share:
                    self.daemon.feed(event)
                case EnvObserved(env_seen) if self.place.get(env_seen.path) == share:
                    self.daemon.feed(event)
                case WatcherStuck(paths) | WatcherBack(paths):
                    own = tuple(path for path in paths if self.place.get(path) == share)
                    if own:
                        self.daemon.feed(replace(event, paths=own))

        return on_event

    def log(self, level: str, text: str) -> None:
        """What a watcher says of itself."""
        with contextlib.suppress(ValueError):
            self.daemon.log.write(Level(level), text)

    def look(self, root: str, app: str) -> None:
        """Look now, at one app or at all of a root."""
        watcher = self.watchers.get(self.place.get(root, ""))
        if watcher is not None:
            watcher.look(root, app)

    def recheck(self, places: Collection[Place]) -> None:
        """Look at these places now; one that no watcher looks at (yet) is left out."""
        lists: dict[str, tuple[list[str], list[tuple[str, str]], list[str]]] = {}
        for place in places:
            share = self.place.get(place.root or place.env)
            if share is None:
                continue
            roots, apps, envs = lists.setdefault(share, ([], [], []))
            if place.env:
                envs.append(place.env)
            elif place.app:
                apps.append((place.root, place.app))
            else:
                roots.append(place.root)
        for share, asked in lists.items():
            if share in self.watchers:
                self.watchers[share].recheck(*asked)

    # --- for people ------------------------------------------------------------------------------

    def slow(self) -> dict[tuple[str, str], Slow]:
        """The trees that are scanned less often than they should be, by root and name."""
        beats = [watcher.beat for watcher in self.watchers.values() if watcher.beat is not None]
        return {(one.root, one.app): one for beat in beats for one in beat.slow}

    def intervals(self) -> dict[str, float]:
        """How often the markers of each root are really looked at, in seconds."""
        found = {}
        for path, share in self.place.items():
            watcher = self.watchers.get(share)
            if watcher is not None and watcher.beat is not None:
                found[path] = watcher.beat.interval
        return found

    def data(self, now: float) -> list[dict[str, Any]]:
        """Every watcher, for `status`."""
        return [
            {
                "watcher": share or "local",
                "pid": watcher.pid,
                "stuck": watcher.stuck,
                "stuck_s": round(now - watcher.stuck_since, 1) if watcher.stuck else 0.0,
                "busy": watcher.beat.busy if watcher.beat else "",
                "interval_s": watcher.beat.interval if watcher.beat else 0.0,
                "interval_why": watcher.beat.why if watcher.beat else "",
                "roots": [root.path for root in watcher.watchlist.roots],
            }
            for share, watcher in sorted(self.watchers.items())
        ]

    def changes(self, app: App) -> tuple[str, ...]:
        """What changed in a tree since it was installed. Reads local files: not for the loop."""
        look, installed = app.seen.latest, app.record.applied.installed
        if look is None or look.layout is not Layout.TREE or not installed:
            return ()
        if look.release == installed:
            return ()
        old, new = (
            manifest.path_of(self.manifests, app.name, release)
            for release in (installed, look.release)
        )
        shown: list[str] = []
        more = 0
        try:
            for change in manifest.compare(old, new):
                if len(shown) < CHANGES_SHOWN:
                    shown.append(f"{change.path} ({change.what})")
                else:
                    more += 1
        except OSError:
            return tuple(app.seen.changed[:CHANGES_SHOWN])
        return (*shown, *([f"and {more} more"] if more else []))

    def prune(self, node: Node) -> None:
        """Keep the scans that something may still be compared with."""
        for name, app in node.apps.items():
            look = app.seen.latest.release if app.seen.latest else ""
            keep = {app.record.applied.installed, app.seen.settled, look}
            with contextlib.suppress(OSError):
                manifest.prune(self.manifests, name, keep - {""})

    async def close(self) -> None:
        """End all watchers; one that hangs is not waited for."""
        self.closing = True
        if self.soon is not None:
            self.soon.cancel()
        await asyncio.gather(*(watcher.close() for watcher in self.watchers.values()))
