"""The watchers of one daemon: one for each mounted share, one for all that is local.

Theory of operation. Which watcher polls a path follows from the mount table, which is read without
touching any share. When it changes (a share is mounted late, or lost) the roots move to another
watcher; what the old one still reports is void, because a root belongs to one watcher at a time and
what comes from another is not passed on.

What an app's own appagent.yaml says is read here, so that the core's event is built once.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import Future
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from typing import Any

from appagent import config
from appagent.core.freshness import Subject
from appagent.core.settings import settings_for
from appagent.core.state import App, Node
from appagent.core.want import env_paths, trouble
from appagent.daemon.loop import Loop
from appagent.host import proc
from appagent.model.events import AppObserved, WatcherBack, WatcherStuck
from appagent.model.notices import Level
from appagent.model.seen import AppSeen, EnvSeen, RootSeen, Slow
from appagent.model.settings import AppSettings, RootSettings
from appagent.model.words import Layout
from appagent.share import manifest
from appagent.share.layouts import SETTINGS
from appagent.share.process import Report, Watcher
from appagent.share.protocol import LogLine, Recheck
from appagent.share.requests import Answer
from appagent.share.signature import SCHEME
from appagent.share.watchlist import Also, AppSpec, RootSpec, Watchlist, group

POLLS_PER_SECOND = 50.0  # of one node, over all its markers
SETTLE_LISTS = 0.02  # s in which several changes become one new watchlist
RECHECK_TIMEOUT = 5.0  # s for a watcher to take a recheck
CHANGES_SHOWN = 50


def root_spec(node: Node, root: RootSettings, scheme: str) -> RootSpec:
    """One root for its watcher; of the apps only those that differ from the defaults."""
    mine = {name: app for name, app in node.apps.items() if app.record.root == root.path}
    apps: dict[str, AppSpec] = {}
    usual = app_spec(node.settings.defaults, None, scheme)
    for name in sorted(mine.keys() | node.settings.apps.keys()):
        app = mine.get(name)
        settings = settings_for(node.settings, name, app.seen.own if app else {})
        spec = app_spec(settings, app, scheme)
        if spec != usual:
            apps[name] = spec
    return RootSpec(
        path=root.path,
        watch=root.watch,
        interval=root.interval,
        scan_interval=root.scan_interval,
        must_mount=root.must_mount(ever_mounted=root.path in node.mounted),
        was_share=root.path in node.mounted,
        include=root.include,
        exclude=root.exclude,
        release_dirs=root.release_dirs,
        defaults=usual,
        apps=apps,
        known=tuple(sorted(mine)),
    )


def app_spec(settings: AppSettings, app: App | None, scheme: str) -> AppSpec:
    """How one app is polled or scanned."""
    also = older_id(app, settings, scheme) if app is not None else None
    return AppSpec(settings.layout, settings.settle, settings.ignore, also)


def older_id(app: App, settings: AppSettings, scheme: str) -> Also | None:
    """The scheme and ignore lines of the id that is installed, where they are not today's."""
    record = app.record
    if not record.applied.installed.startswith("tree."):
        return None
    installed = record.applied.installed.partition(":")[0]
    if installed == scheme and record.ignore == settings.ignore:
        return None
    return Also(installed, record.ignore)


def env_files(node: Node) -> tuple[str, ...]:
    """Every env file that some managed app has."""
    paths: set[str] = set()
    for name, app in node.apps.items():
        root = node.root_settings(app.record.root)
        away = trouble(node, app)
        if root is not None and not (away is not None and away.word == "unmanaged"):
            paths.update(path for path, _ in env_paths(root, name))
    return tuple(sorted(paths))


@lru_cache(maxsize=1000)
def own_settings(text: str, file: str) -> tuple[Mapping[str, object], str]:
    """Parse an app's own appagent.yaml: its settings, and what is wrong with it."""
    try:
        return config.parse_app_file(text, file), ""
    except config.ConfigErrors as wrong:
        return {}, "; ".join(wrong.errors[:3])


class Watchers:
    """All watchers, and which of them watches what."""

    def __init__(
        self, loop: Loop, make: Callable[..., Watcher] = Watcher, scheme: str = SCHEME
    ) -> None:
        """Nothing is started before the first list."""
        self.loop = loop
        self.make = make
        self.scheme = scheme  # of the signatures that its watchers make
        self.watchers: dict[str, Watcher] = {}  # by mount point, "" for local paths
        self.share_of: dict[str, str] = {}  # root or env file → the watcher's key
        self.soon: asyncio.TimerHandle | None = None
        self.table = ""  # the mount table that the subjects follow from
        self.closing = False

    @property
    def manifests(self) -> str:
        """Where the scans are kept."""
        return f"{self.loop.node.settings.state_dir}/manifests"

    # --- lists -----------------------------------------------------------------------------------

    def rewatch_soon(self) -> None:
        """Send new lists, after what else this turn of the loop changes."""
        if self.soon is None and not self.closing:
            self.soon = asyncio.get_running_loop().call_later(SETTLE_LISTS, self.rewatch)

    def rewatch(self) -> None:
        """Send each watcher its list where it changed; start a watcher for a new share."""
        self.soon = None
        node = self.loop.node
        roots = {root.path: root_spec(node, root, self.scheme) for root in node.settings.roots}
        envs = env_files(node)
        self.table = proc.mountinfo()
        groups = group(self.table, (*roots, *envs))
        self.share_of = {path: share for share, paths in groups.items() for path in paths}
        for share in self.watchers.keys() | groups.keys():
            paths = groups.get(share, ())
            watchlist = Watchlist(
                roots=tuple(roots[path] for path in paths if path in roots),
                env=tuple(path for path in paths if path not in roots),
                secret=self.loop.secret,
                manifests=self.manifests,
                share=share,
                polls_per_second=POLLS_PER_SECOND,
            )
            if share not in self.watchers:
                name = share or "local paths"
                self.watchers[share] = self.make(name, self.reports(share))
            if watchlist != self.watchers[share].watchlist:
                self.watchers[share].watch(watchlist)

    def check_mounts(self) -> None:
        """Move roots to other watchers when the mount table has changed."""
        if not self.closing and self.table and proc.mountinfo() != self.table:
            self.rewatch_soon()

    # --- what is seen ----------------------------------------------------------------------------

    def reports(self, share: str) -> Callable[[Report], None]:
        """Pass on what a watcher reports of the paths that are its own now."""

        def on_report(report: Report) -> None:
            feed = self.loop.feed
            match report:
                case AppSeen() if self.share_of.get(report.root) == share:
                    self.app_seen(report)
                case RootSeen() if self.share_of.get(report.root) == share:
                    feed(report)
                case EnvSeen() if self.share_of.get(report.path) == share:
                    feed(report)
                case WatcherStuck(paths) | WatcherBack(paths):
                    own = tuple(path for path in paths if self.share_of.get(path) == share)
                    if own:
                        feed(replace(report, paths=own))
                case LogLine(level, text):
                    with contextlib.suppress(ValueError):
                        self.loop.log.write(Level(level), text)

        return on_report

    def app_seen(self, seen: AppSeen) -> None:
        """Feed what was seen of an app, with what its own appagent.yaml says."""
        own: tuple[Mapping[str, object], str] = {}, ""
        if seen.settings is not None:
            own = own_settings(seen.settings, f"{seen.release_dir}/{SETTINGS}")
        self.loop.feed(AppObserved(seen, *own))

    def poll_now(self, root: str, app: str) -> None:
        """Poll one app, or all of a root."""
        watcher = self.watchers.get(self.share_of.get(root, ""))
        if watcher is not None:
            watcher.poll_now(root, app)

    def recheck(
        self, subjects: Collection[Subject], lost: Callable[[Collection[Subject]], None]
    ) -> None:
        """Poll these subjects now; one that no watcher watches (yet) is left out.

        `lost` is called with those that a watcher did not take: it is stuck, or ended meanwhile.
        """
        by_share: dict[str, list[Subject]] = {}
        for subject in subjects:
            share = self.share_of.get(subject.root or subject.env)
            if share in self.watchers:
                by_share.setdefault(share, []).append(subject)
        for share, some in by_share.items():
            recheck = Recheck(
                id=0,
                roots=tuple(
                    subject.root for subject in some if not subject.env and not subject.app
                ),
                apps=tuple((subject.root, subject.app) for subject in some if subject.app),
                envs=tuple(subject.env for subject in some if subject.env),
            )
            try:
                answer = self.watchers[share].recheck(recheck, RECHECK_TIMEOUT)
            except ConnectionError:
                lost(some)
            else:
                answer.add_done_callback(partial(_if_failed, lost, some))

    # --- for people ------------------------------------------------------------------------------

    def slow(self) -> dict[tuple[str, str], Slow]:
        """The trees that are scanned less often than they should be, by root and name."""
        beats = [watcher.beat for watcher in self.watchers.values() if watcher.beat is not None]
        return {(one.root, one.app): one for beat in beats for one in beat.slow}

    def intervals(self) -> dict[str, float]:
        """How often the markers of each root are really polled, in seconds."""
        found = {}
        for path, share in self.share_of.items():
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
        latest, installed = app.seen.latest, app.record.applied.installed
        if latest is None or latest.layout is not Layout.TREE or not installed:
            return ()
        if latest.release == installed:
            return ()
        old, new = (
            manifest.path_of(self.manifests, app.name, release)
            for release in (installed, latest.release)
        )
        try:
            changes = manifest.compare(old, new)
            shown = [f"{each.path} ({each.what})" for each in islice(changes, CHANGES_SHOWN)]
            more = sum(1 for _ in changes)
        except OSError:
            return tuple(app.seen.changed[:CHANGES_SHOWN])
        return (*shown, f"and {more} more") if more else tuple(shown)

    def prune(self, node: Node) -> None:
        """Keep the scans that something may still be compared with."""
        for name, app in node.apps.items():
            latest = app.seen.latest.release if app.seen.latest else ""
            keep = {app.record.applied.installed, app.seen.settled, latest}
            with contextlib.suppress(OSError):
                manifest.prune(self.manifests, name, keep - {""})

    async def close(self) -> None:
        """End all watchers; one that hangs is not waited for."""
        self.closing = True
        if self.soon is not None:
            self.soon.cancel()
        await asyncio.gather(*(watcher.close() for watcher in self.watchers.values()))


def _if_failed(
    lost: Callable[[Collection[Subject]], None], subjects: Collection[Subject], done: Future[Answer]
) -> None:
    if done.exception() is not None:
        lost(subjects)
