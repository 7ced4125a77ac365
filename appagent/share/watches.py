"""Which roots inotify watches, and what becomes of one that it cannot watch.

A local root is watched unless the configuration says `poll`. Where the kernel gives no more
watches, or the root itself goes away, the root is polled, and that is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from appagent.host.mounts import Mount
from appagent.share.inotify import Inotify, Watcher, is_limit
from appagent.share.layouts import TELLING, Inspection
from appagent.share.observer import Emit
from appagent.share.signature import Scan
from appagent.share.state import SCANNER, AppState, RootState

_HINT = "raise fs.inotify.max_user_watches and max_user_instances, or set watch: poll"


class Watches:
    """The watches of all roots and apps of a watcher. Any thread may use it for what it owns."""

    def __init__(self) -> None:
        self.ring_root: Callable[[RootState], None] = lambda _: None
        self.ring_app: Callable[[AppState], None] = lambda _: None
        self._inotify = Inotify()
        self._roots: dict[RootState, Watcher] = {}
        self._apps: dict[AppState, Watcher] = {}

    def root(self, root: RootState, mount: Mount, inode: int, emit: Emit) -> bool:
        """Watch a root that was just looked at; whether to look again because of it.

        `inode` tells whether the root is the one that is watched: nobody rings when a directory
        above it is renamed.
        """
        mode = root.spec.watch
        wanted = mode == "inotify" or (mode == "auto" and not mount.is_share)
        if not wanted or root.no_inotify:
            if root.inotify:
                self._leave(root)
            return False
        if root.inotify and root.inode != inode:
            self._leave(root)
        root.inode = inode
        try:
            watcher = self._roots.get(root)
            if watcher is None:
                watcher = self._inotify.watcher(lambda _path, _is_dir: self.ring_root(root))
                self._roots[root] = watcher
            added = watcher.watch([root.real])
        except OSError as error:
            self._cannot(root, error, emit)
            return False
        if not root.inotify:
            root.inotify = True
            for app in list(root.apps.values()):
                self.ring_app(app)
        return added > 0

    def lost(self, root: RootState, why: str, emit: Emit) -> None:
        """A root cannot be looked at: it is polled until it can."""
        if root.inotify:
            text = f"{root.path} is polled until it is back: {why}"
            emit("log", {"level": "warning", "text": text})
            self._leave(root)

    def app(self, app: AppState, found: Inspection, emit: Emit) -> bool:
        """Watch an app that is no tree; whether to look again soon because of it."""
        return self._app(app, found.dirs, emit)

    def tree(self, app: AppState, found: Inspection, scan: Scan, emit: Emit) -> bool:
        """Watch every directory of a tree that was just scanned."""
        if not app.root.inotify:
            return False
        inside = (f"{found.base}/{path}" if path else found.base for path in scan.blocks)
        return self._app(app, (*found.dirs, *inside), emit, f"{found.base}/")

    def drop(self, app: AppState) -> None:
        """Watch an app no more."""
        watcher = self._apps.pop(app, None)
        if watcher is not None:
            watcher.close()

    def drop_root(self, root: RootState) -> None:
        """Watch a root and its apps no more."""
        self._leave(root)

    def _app(self, app: AppState, dirs: Iterable[str], emit: Emit, base: str = "") -> bool:
        if not app.root.inotify:
            return False
        watcher = self._apps.get(app)
        try:
            if watcher is None:
                watcher = self._inotify.watcher(lambda path, is_dir: self._rung(app, path, is_dir))
                self._apps[app] = watcher
            app.base = base
            added = watcher.watch(dirs)
        except OSError as error:
            if is_limit(error):
                self._cannot(app.root, error, emit)
            return True
        if app.dropped():  # meanwhile
            self.drop(app)
        return added > 0

    def _rung(self, app: AppState, path: str, is_dir: bool) -> None:  # noqa: FBT001 - inotify's word
        if app.owner == SCANNER and app.base and path.startswith(app.base):
            inside = path[len(app.base) :]
            # Of those some are no part of the release: what they say of the app counts as well.
            if inside not in TELLING and app.scanner.skips(inside, is_dir=is_dir):
                return
        self.ring_app(app)

    def _cannot(self, root: RootState, error: OSError, emit: Emit) -> None:
        what = error.strerror or os.strerror(error.errno or 0)
        if is_limit(error):
            root.no_inotify = what
            what = f"{what}; {_HINT}"
        emit("log", {"level": "warning", "text": f"{root.path} is polled: inotify: {what}"})
        self._leave(root)

    def _leave(self, root: RootState) -> None:
        root.inotify = False
        watcher = self._roots.pop(root, None)
        if watcher is not None:
            watcher.close()
        for app in list(root.apps.values()):
            self.drop(app)
            self.ring_app(app)
