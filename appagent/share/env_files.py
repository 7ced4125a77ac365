"""The env files of a watcher: present, missing, broken or unknown; believed when read twice alike.

A file that is being written is read half. So what a read gives counts only when the next read, a
moment later, gives the same; until then what was seen before stands. An error is unknown at once,
and a file is missing only if a listing of its directory does not have it: without the mount of a
share it would seem to be missing too, so the mount is verified before and after each read.

Most apps have env files that never change, or none at all. So the files of one directory are polled
together, every `scan_interval`: one listing shows which are still missing, and on a local disk a
status shows which are unchanged. Only what may have changed is read by itself.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable
from operator import attrgetter

from appagent.core.envfile import MAX_BYTES, EnvFileError, decode, digest, parse
from appagent.host.mounts import Mount
from appagent.model.seen import EnvSeen
from appagent.share.debounce import in_words
from appagent.share.disk import FILE, Disk
from appagent.share.markers import NotDeployable, status_text
from appagent.share.mount_guard import AllowedPaths, MountGuard, NotMounted
from appagent.share.observer import RETRY, Emit
from appagent.share.resolve import PathResolver, parent
from appagent.share.scheduler import Jitter, Window
from appagent.share.state import RootState, Work

_CONTENT = attrgetter("state", "digest", "why")  # what is reported when it changes
_EVERY = 2.0  # s between polls of a directory, without a root that has an interval


class EnvFile:
    """An env file, and what was seen of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.requested = False
        self.reported: EnvSeen | None = None
        self.waiting = False  # for its second read
        self.was_mounted = False
        self._read: tuple[str, str, str] | None = None  # state, digest, why of the last read
        self._status = b""  # of a local file, when it was read

    def poll(self, owner: EnvFiles, now: float) -> tuple[EnvSeen | None, float]:
        """Read it: what there is to report, and in how many s to read again (0: by listing)."""
        limits = owner.work.limits
        reread = limits.reread_share
        try:
            before = self._mount(owner)
            reread = limits.reread_share if before.is_share else limits.reread_local
            read = self._read_now(owner, before)
            owner.guard.unmoved(before, self._mount(owner))
        except (OSError, NotMounted) as error:
            why = in_words(error) if isinstance(error, OSError) else str(error)
            return self.unknown(why, now), reread
        if read != self._read:
            self._read = read
            return None, reread
        state, key, why = read
        return self._report(EnvSeen(self.path, state, key, why, now, before.is_share)), 0.0

    def unknown(self, why: str, now: float) -> EnvSeen | None:
        """Take a poll that failed: what there is to report."""
        self._read, self._status = None, b""
        return self._report(
            EnvSeen(self.path, "unknown", why=why, at=now, mounted=self.was_mounted)
        )

    def is_unchanged(self, disk: Disk, kind: str | None, *, local: bool) -> bool:
        """Whether it is as reported, by the kind that a listing gives it (None: not listed)."""
        if self.waiting:
            return True
        if self.requested or self.reported is None or self._read is None:
            return False
        if kind is None:
            return self._read[0] == self.reported.state == "missing"
        if not local or kind != FILE or not self._status:
            return False
        return status_text(disk.status(self.path)) == self._status

    def _mount(self, owner: EnvFiles) -> Mount:
        """Return the mount it lies on. Raises NotMounted where a share should be and is not."""
        mount = owner.mount_of(self.path)
        if mount.is_share:
            self.was_mounted = True
        elif self.was_mounted:
            raise NotMounted(f"{self.path} is not mounted any more")
        else:
            for root in owner.unmounted_roots():
                if _have_one_top(self.path, root.path):
                    raise NotMounted(f"{self.path} is not read while {root.path} is not mounted")
        return mount

    def _read_now(self, owner: EnvFiles, mount: Mount) -> tuple[str, str, str]:
        """Read it: state, digest, why."""
        resolver = owner.resolver(self.path, mount)
        try:
            status = b""
            if not mount.is_share:
                # On a local disk a status is true at once, so an unchanged file is not read again
                # (one that is a symlink is: what it leads to has a status of its own).
                found = resolver.disk.status(self.path)
                status = status_text(found) if stat.S_ISREG(found.st_mode) else b""
                if status and status == self._status and self._read is not None:
                    return self._read
            _, data = resolver.find(self.path, MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            data = None
        except NotDeployable as error:
            return "broken", "", in_words(error)
        if data is None:
            resolver.need_missing(self.path)
            return "missing", "", ""
        self._status = status
        try:
            items = parse(decode(data, self.path), self.path)
        except EnvFileError as error:
            return "broken", "", str(error)
        return "present", digest(owner.work.watchlist.secret, items), ""

    def _report(self, seen: EnvSeen) -> EnvSeen | None:
        old = self.reported
        same = old is not None and _CONTENT(old) == _CONTENT(seen)
        if same and not self.requested:
            return None
        self.requested = False
        self.reported = seen
        return seen


class EnvDir:
    """The env files of one directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.files: dict[str, EnvFile] = {}  # by their names
        self._mount: Mount | None = None

    def doubtful(self, owner: EnvFiles) -> list[EnvFile]:
        """The files that have to be read: all of them where anything is not as it was."""
        every = list(self.files.values())
        try:
            before = owner.mount_of(self.path)
            moved, self._mount = before != self._mount, before
            if moved or owner.unmounted_roots():
                return every
            kinds = owner.disk.names(self.path)
            local = not before.is_share
            found = [
                env
                for name, env in self.files.items()
                if not env.is_unchanged(owner.disk, kinds.get(name), local=local)
            ]
            owner.guard.unmoved(before, owner.mount_of(self.path))
        except (OSError, NotMounted):
            self._mount = None
            return every
        return found


class EnvFiles:
    """All env files of a watcher, and when each is polled."""

    def __init__(self, guard: MountGuard, work: Work) -> None:
        self.disk = guard.disk
        self.guard = guard
        self.work = work
        self._roots: list[RootState] = []
        self._files: dict[str, EnvFile] = {}
        self.dirs: dict[str, EnvDir] = {}
        self._jitter = Jitter()

    def set_watchlist(self, roots: list[RootState]) -> None:
        """Poll the files of the watchlist from now on; known ones keep their state."""
        self._roots = roots
        schedule, paths = self.work.poll, self.work.watchlist.env
        for path in self._files.keys() - set(paths):
            schedule.drop(self._files.pop(path))
        for path in paths:
            if path not in self._files:
                self._files[path] = EnvFile(path)
                schedule.sooner(self._files[path], 0.0)
        for env_dir in self.dirs.values():
            schedule.drop(env_dir)
        self.dirs = {}
        for path, env in self._files.items():
            above, _, name = path.rpartition("/")
            self.dirs.setdefault(above, EnvDir(above or "/")).files[name] = env
        for env_dir in self.dirs.values():
            schedule.sooner(env_dir, self._next(time.monotonic()))

    def poll_all(self) -> None:
        """Have all of them read now."""
        for env in self._files.values():
            self.work.poll.sooner(env, 0.0)

    def request(self, paths: Iterable[str] | None = None) -> None:
        """Have these, or all, read now and reported in any case."""
        for path in self._files if paths is None else paths:
            env = self._files.get(path)
            if env is not None:
                env.requested = True
                self.work.poll.sooner(env, 0.0)

    def poll(self, env: EnvFile, emit: Emit) -> None:
        """Read one file."""
        began = time.monotonic()
        try:
            seen, reread = env.poll(self, began)
        except Exception:  # noqa: BLE001 - logged; it makes this file unknown, and nothing else
            seen, reread = env.unknown(str(self.work.internal_error(env.path, emit)), began), RETRY
        if seen is not None:
            emit(seen)
        env.waiting = reread > 0
        if reread:  # else it is left to its directory
            self.work.poll.sooner(env, began + reread)

    def poll_dir(self, env_dir: EnvDir) -> None:
        """Find out which files of a directory have to be read."""
        began = time.monotonic()
        for env in env_dir.doubtful(self):
            self.work.poll.sooner(env, 0.0)
        self.work.poll.sooner(env_dir, self._next(began))

    def mount_of(self, path: str) -> Mount:
        """Return the mount that a path lies on. Raises NotMounted for another watcher's."""
        mount = self.guard.mounts().holding(self.guard.real(path))
        self.guard.need_own(mount, path)
        return mount

    def unmounted_roots(self) -> list[RootState]:
        """The roots whose share should be mounted and is not, as far as known."""
        return [root for root in self._roots if not root.known and root.spec.must_mount]

    def resolver(self, path: str, own: Mount) -> PathResolver:
        """Where a file is searched: a link may lead where one of the shim's might follow it."""
        others = [other for root in self._roots for other in (root.path, *self.guard.others(root))]
        return PathResolver(self.disk, parent(path), others, AllowedPaths(self.guard.table, own))

    def _next(self, began: float) -> Window:
        every = min((root.spec.scan_interval for root in self._roots), default=_EVERY)
        return self._jitter(began, every)


def _have_one_top(path: str, root: str) -> bool:
    """Whether a path may lie on the same share as a root: their first directories are alike."""
    return path.split("/")[1:2] == root.split("/")[1:2]
