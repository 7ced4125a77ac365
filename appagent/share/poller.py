"""The poller thread: roots, the markers of symlink and git apps, env files, what is mounted.

Theory of operation. One thread takes what is due off its schedule and polls it: a root
(root_poll.py), apps by their markers (marker_poll.py), an env file (env_files.py), the mount table.
The main thread puts orders into an inbox, which is emptied before each poll. Trees belong to the
other thread (scanner.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from appagent.share.disk import Disk
from appagent.share.env_files import EnvDir, EnvFile, EnvFiles
from appagent.share.marker_poll import MarkerPoll
from appagent.share.mount_guard import MountGuard
from appagent.share.observer import RETRY, Emit
from appagent.share.root_poll import RootPoll
from appagent.share.scheduler import Jitter
from appagent.share.state import AppState, RootState, Work
from appagent.share.watches import Watches
from appagent.share.watchlist import RootSpec, Watchlist

_RECHECK_PAUSE = 5  # a root is listed for rechecks at most a fifth of the time
_MOUNTS = 1.0  # s between polls of the mount table, and counts of what is polled
_MOUNT_TABLE = "mount table"  # its entry on the schedule


class Poller:
    """Polls everything but trees."""

    def __init__(self, disk: Disk, work: Work, watches: Watches) -> None:
        self.disk = disk
        self._work = work
        self._watches = watches
        self._inbox: deque[Callable[[], None]] = deque()
        self._roots: dict[str, RootState] = {}
        self._mounted = ""  # the mount table, as it was last read
        self._guard = MountGuard(disk, work)
        self.env_files = EnvFiles(self._guard, work)
        self._apps = MarkerPoll(self._guard, work, watches)
        self._root_poll = RootPoll(self._guard, work, watches, self._apps, self._drop)
        self._jitter = Jitter()

    @property
    def interval(self) -> float:
        """Between polls of markers, as in force; 0 if none are polled."""
        return self._apps.interval

    @property
    def why(self) -> str:
        """Why that is more than it should be; "" if it is not."""
        return self._apps.why

    def post(self, job: Callable[[], None]) -> None:
        """Have the thread do something before its next poll. Any thread may call this."""
        self._inbox.append(job)
        self._work.poll.wake()

    def turn(self, timeout: float, emit: Emit) -> None:
        """Poll what is due next, or wait for it, at most for a time (s)."""
        self.disk.pulse.rest()
        while self._inbox:
            self._inbox.popleft()()
        item = self._work.poll.take(timeout)
        if item is None:
            return
        try:
            self._poll(item, emit)
        except BaseException:  # an internal error: the caller logs it, and the poll is repeated
            self._work.poll.sooner(item, time.monotonic() + RETRY)
            raise
        finally:
            self.disk.pulse.rest()

    def _poll(self, item: object, emit: Emit) -> None:
        if isinstance(item, RootState):
            if self._roots.get(item.path) is item:
                self._root_poll.poll(item, emit)
        elif isinstance(item, AppState):
            self._apps.poll_due(item, emit)
        elif isinstance(item, EnvFile):
            self.env_files.poll(item, emit)
        elif isinstance(item, EnvDir):
            self.env_files.poll_dir(item)
        else:
            self._poll_mounts()

    def _poll_mounts(self) -> None:
        roots = self._roots.values()
        self._apps.polled = sum(root.polled() for root in roots if not root.inotify)
        self._apps.plain = sum(len(root.apps.keys() - root.were_apps) for root in roots)
        text = self._guard.mounts().text
        if text != self._mounted:
            self._mounted = text
            for root in roots:
                self._work.root(root)
            self.env_files.poll_all()
        self._work.poll.sooner(_MOUNT_TABLE, self._jitter(time.monotonic(), _MOUNTS))

    # --- jobs: to be called from the inbox ---------------------------------------------------

    def poll_now(self, path: str, name: str) -> None:
        """Poll one app, or (without a name) a root and everything in it."""
        root = self._roots.get(path)
        if root is None:
            return
        if not name:
            root.requested = True
            self._work.root(root)
            for app in root.apps.values():
                self._apps.request(app)
            self.env_files.request()
        elif name in root.apps:
            self._apps.request(root.apps[name])
        else:
            root.requested = True
            self._work.root(root)

    def recheck(
        self, roots: Sequence[str], apps: Sequence[Sequence[str]], envs: Sequence[str]
    ) -> None:
        """Poll just these, for somebody who waits; what is seen is reported in any case."""
        for path in roots:
            root = self._roots.get(path)
            if root is not None:
                root.requested = True
                self._work.root(root, root.began + root.took * _RECHECK_PAUSE)
        for path, name in apps:
            root = self._roots.get(path)
            if root is not None and name in root.apps:
                self._apps.request(root.apps[name], urgent=False)
        self.env_files.request(envs)

    def set_watchlist(self, watchlist: Watchlist) -> None:
        """Watch this from now on; what is watched already keeps its state."""
        self._work.watchlist = watchlist
        specs = {spec.path: spec for spec in watchlist.roots}
        for path in [path for path in self._roots if path not in specs]:
            self._drop_root(self._roots.pop(path))
        for path, spec in specs.items():
            root = self._roots.get(path)
            if root is None:
                self._roots[path] = root = RootState(spec)
            elif root.spec != spec:
                self._change_root(root, spec)
            root.were_apps.update(spec.known)
            self._work.root(root)
        self.env_files.set_watchlist(list(self._roots.values()))
        self._work.poll.sooner(_MOUNT_TABLE, time.monotonic())

    def _change_root(self, root: RootState, spec: RootSpec) -> None:
        if root.spec.watch != spec.watch:
            self._watches.drop_root(root)
            root.no_inotify = ""
        root.spec = spec
        for name, app in list(root.apps.items()):
            old, new = app.spec, spec.spec(name)
            if (old.layout, old.ignore) != (new.layout, new.ignore):
                self._drop(app)  # what was seen of it means something else now
            elif old != new:
                app.spec = new
                app.debounce.settle = new.settle
                self._apps.request(app)

    def _drop_root(self, root: RootState) -> None:
        self._work.poll.drop(root)
        for app in list(root.apps.values()):
            self._drop(app)
        self._watches.drop_root(root)

    def _drop(self, app: AppState) -> None:
        self._work.drop(app)
        app.root.apps.pop(app.name, None)
        self._watches.drop(app)
