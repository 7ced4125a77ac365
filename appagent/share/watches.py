"""Which roots inotify watches, and what happens to one that it cannot watch.

A local root is watched unless the configuration says `poll`. Where the kernel gives no more
watches, or the root itself disappears, the root is polled, and that is logged.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from appagent.host.mounts import Mount
from appagent.share.inotify import Inotify, Watcher, is_limit
from appagent.share.layouts import KEY_NAMES, Inspection
from appagent.share.observer import Emit
from appagent.share.protocol import LogLine
from appagent.share.signature import Scan
from appagent.share.state import SCANNER, AppState, RootState, Work

_HINT = "raise fs.inotify.max_user_watches and max_user_instances, or set watch: poll"


class Watches:
    """The watches of all roots and apps of a watcher. Any thread may use it for what it owns."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._inotify = Inotify()
        self._roots: dict[RootState, Watcher] = {}
        self._apps: dict[AppState, Watcher] = {}

    def root(self, root: RootState, mount: Mount, inode: int, emit: Emit) -> bool:
        """Watch a root that was just listed; whether to list it again because of that.

        `inode` shows whether the root is the directory that is watched: inotify reports nothing
        when a directory above it is renamed.
        """
        if not mount.has_inotify(root.spec.watch) or root.no_inotify:
            if root.inotify:
                self.drop_root(root)
            return False
        if root.inotify and root.inode != inode:
            self.drop_root(root)
        root.inode = inode
        try:
            watcher = self._roots.get(root)
            if watcher is None:
                watcher = self._inotify.watcher(
                    lambda _path, _is_dir: self._work.root_changed(root)
                )
                self._roots[root] = watcher
            added = watcher.watch([root.real])
        except OSError as error:
            self._cannot(root, error, emit)
            return False
        if not root.inotify:
            root.inotify = True
            for app in list(root.apps.values()):
                self._work.app_changed(app)
        return added > 0

    def lost(self, root: RootState, why: str, emit: Emit) -> None:
        """A root is unknown: it is polled until it is known again."""
        if root.inotify:
            emit(LogLine("warning", f"{root.path} is polled until it is available again: {why}"))
            self.drop_root(root)

    def tree(self, app: AppState, found: Inspection, scan: Scan, emit: Emit) -> bool:
        """Watch every directory of a tree that was just scanned."""
        if not app.root.inotify:
            return False
        inside = (f"{found.base}/{path}" if path else found.base for path in scan.blocks)
        return self.app(app, (*found.dirs, *inside), emit, f"{found.base}/")

    def drop(self, app: AppState) -> None:
        """Stop watching an app."""
        watcher = self._apps.pop(app, None)
        if watcher is not None:
            watcher.close()

    def app(self, app: AppState, dirs: Iterable[str], emit: Emit, base: str = "") -> bool:
        """Watch directories of an app; whether to inspect it again soon because of that."""
        if not app.root.inotify:
            return False
        watcher = self._apps.get(app)
        try:
            if watcher is None:
                watcher = self._inotify.watcher(
                    lambda path, is_dir: self._app_event(app, path, is_dir)
                )
                self._apps[app] = watcher
            app.base = base
            added = watcher.watch(dirs)
        except OSError as error:
            if is_limit(error):
                self._cannot(app.root, error, emit)
            return True
        if app.dropped:  # meanwhile
            self.drop(app)
        return added > 0

    def _app_event(self, app: AppState, path: str, is_dir: bool) -> None:  # noqa: FBT001 - inotify's word
        if app.owner == SCANNER and app.base and path.startswith(app.base):
            inside = path[len(app.base) :]
            # Some of those are not part of the release, but of what is known of the app.
            if inside not in KEY_NAMES and app.scanner.skips(inside, is_dir=is_dir):
                return
        self._work.app_changed(app)

    def _cannot(self, root: RootState, error: OSError, emit: Emit) -> None:
        what = error.strerror or os.strerror(error.errno or 0)
        if is_limit(error):
            root.no_inotify = what
            what = f"{what}; {_HINT}"
        emit(LogLine("warning", f"{root.path} is polled: inotify: {what}"))
        self.drop_root(root)

    def drop_root(self, root: RootState) -> None:
        """Stop watching a root and its apps."""
        root.inotify = False
        watcher = self._roots.pop(root, None)
        if watcher is not None:
            watcher.close()
        for app in list(root.apps.values()):
            self.drop(app)
            self._work.app_changed(app)
