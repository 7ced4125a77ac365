"""The env files of a watcher: which there are, and when each is looked at.

They are asked for by directory, every `scan_interval`; how one is looked at stands in envlook.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from appagent.share import protocol
from appagent.share.disk import Disk
from appagent.share.env_file import EnvDir, EnvState
from appagent.share.observer import FAULT, Emit
from appagent.share.scheduler import Jitter, Window
from appagent.share.state import MountGuard, RootState
from appagent.share.watchlist import Watchlist

_EVERY = 2.0  # s, without a root that says how often
Env = EnvState | EnvDir


class Envs:
    """The quick thread's looks at env files; `sooner` and `drop` are its agenda's."""

    def __init__(
        self,
        disk: Disk,
        guard: MountGuard,
        sooner: Callable[[Env, float | Window], None],
        drop: Callable[[Env], None],
    ) -> None:
        self._disk = disk
        self._guard = guard
        self._sooner = sooner
        self._drop = drop
        self._watch = Watchlist()
        self._roots: list[RootState] = []
        self._files: dict[str, EnvState] = {}
        self._dirs: dict[str, EnvDir] = {}
        self._jitter = Jitter()

    def set_watch(self, watch: Watchlist, roots: list[RootState]) -> None:
        """Watch these from now on; what is watched already goes on as it is."""
        self._watch, self._roots = watch, roots
        for path in self._files.keys() - set(watch.env):
            self._drop(self._files.pop(path))
        for path in watch.env:
            if path not in self._files:
                self._files[path] = EnvState(path)
                self._sooner(self._files[path], 0.0)
        for env_dir in self._dirs.values():
            self._drop(env_dir)
        self._dirs = {}
        for path, env in self._files.items():
            parent, _, name = path.rpartition("/")
            self._dirs.setdefault(parent, EnvDir(parent or "/")).files[name] = env
        for env_dir in self._dirs.values():
            self._sooner(env_dir, self._next(time.monotonic()))

    def ring(self) -> None:
        """Look at all of them now."""
        for env in self._files.values():
            self._sooner(env, 0.0)

    def ask(self, paths: Iterable[str] | None = None) -> None:
        """Look at these now, or at all, and tell what is seen also where it is no news."""
        for path in self._files if paths is None else paths:
            env = self._files.get(path)
            if env is not None:
                env.requested = True
                self._sooner(env, 0.0)

    def look(self, env: EnvState, emit: Emit) -> None:
        """Look at one file."""
        began = time.monotonic()
        try:
            look, again = env.look(self._disk, self._guard, self._watch, self._roots, began)
        except Exception:  # noqa: BLE001 - of ours: it ends this look alone
            look = env.unknown(str(env.faults.report(env.path, emit)), began)
            again = FAULT
        if look is not None:
            emit("env", protocol.seen_body(look))
        env.waiting = again > 0
        if again:  # else it is left to its directory
            self._sooner(env, began + again)

    def look_through(self, env_dir: EnvDir) -> None:
        """Ask which files of a directory have to be looked at."""
        began = time.monotonic()
        for env in env_dir.doubtful(self._disk, self._guard, self._watch, self._roots):
            self._sooner(env, 0.0)
        self._sooner(env_dir, self._next(began))

    def _next(self, began: float) -> Window:
        every = min((root.spec.scan_interval for root in self._roots), default=_EVERY)
        return self._jitter(began, every)
