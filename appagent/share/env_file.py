"""One env file as it is seen: present, missing, broken or unknown; believed when read twice alike.

A file that is being written is read half. So what a read gives counts only when the next read, a
moment later, gives the same; until then what was seen before stands. An error is unknown at once,
and a missing file is only what a listing of its directory says: without a share's mount the file
would seem to be missing too, so before and after each read the ground is asked.

Most apps have env files that never change, or none at all. So an `EnvDir` asks for all files of
one directory at once: one listing says which are still missing, and on a local disk a status which
are unchanged. Only what may have changed is looked at by itself.
"""

from __future__ import annotations

import stat

from appagent.core.envfile import MAX_BYTES, EnvFileError, decode, digest, parse
from appagent.host.mounts import Mount
from appagent.model.seen import EnvSeen
from appagent.share.debounce import in_words
from appagent.share.disk import FILE, Disk
from appagent.share.fault_log import FaultLog
from appagent.share.markers import NotDeployable, status_text
from appagent.share.resolve import PathResolver, parent
from appagent.share.state import AllowedPaths, MountGuard, NotMounted, RootState
from appagent.share.watchlist import Watchlist

AGAIN_SHARE = 1.0  # s until the second read
AGAIN_LOCAL = 0.25


class EnvState:
    """An env file, and what was seen of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.requested = False
        self.pushed: EnvSeen | None = None
        self.was_mounted = False
        self.waiting = False  # for a look of its own, a moment after the last one
        self._read: tuple[str, str, str] | None = None  # state, digest, why of the last read
        self._status = b""  # of a local file, when it was read
        self.faults = FaultLog()

    def look(
        self, disk: Disk, guard: MountGuard, watch: Watchlist, roots: list[RootState], now: float
    ) -> tuple[EnvSeen | None, float]:
        """Look at it: what there is to push, and in how many seconds to look again (0: later)."""
        again = AGAIN_SHARE
        try:
            before = self._guard(guard, watch, roots)
            again = AGAIN_SHARE if before.is_share else AGAIN_LOCAL
            resolver = self._way(disk, guard, before, roots)
            read = self._now(resolver, watch, local=not before.is_share)
            guard.unmoved(before, self._guard(guard, watch, roots))
        except (OSError, NotMounted) as error:
            why = in_words(error) if isinstance(error, OSError) else str(error)
            return self.unknown(why, now), again
        if read != self._read:
            self._read = read
            return None, again
        state, key, why = read
        look = EnvSeen(self.path, state, key, why, now, before.is_share)
        return self._take(look), 0.0

    def unknown(self, why: str, now: float) -> EnvSeen | None:
        """Take a look that went wrong: what there is to push."""
        self._read, self._status = None, b""
        return self._take(
            EnvSeen(self.path, "unknown", why=why, looked=now, mounted=self.was_mounted)
        )

    def stands(self, disk: Disk, kind: str | None, *, local: bool) -> bool:
        """Whether it is as it was told, by the kind that a listing gives it (None: not listed)."""
        if self.waiting:
            return True
        if self.requested or self.pushed is None or self._read is None:
            return False
        if kind is None:
            return self._read[0] == self.pushed.state == "missing"
        if not local or kind != FILE or not self._status:
            return False
        return status_text(disk.status(self.path)) == self._status

    def _guard(self, guard: MountGuard, watch: Watchlist, roots: list[RootState]) -> Mount:
        """Give the mount that it lies on. Raises Away where a share should be and is not."""
        mount = guard.mounts().holding(guard.real(self.path))
        guard.own(mount, self.path, watch)
        if mount.is_share:
            self.was_mounted = True
        elif self.was_mounted:
            raise NotMounted(f"{self.path} is not mounted any more")
        else:
            for root in roots:
                if not root.known and root.spec.must_mount and _beside(self.path, root.path):
                    raise NotMounted(
                        f"{self.path} is not looked at while {root.path} is not mounted"
                    )
        return mount

    def _way(
        self, disk: Disk, guard: MountGuard, own: Mount, roots: list[RootState]
    ) -> PathResolver:
        """Where it is looked for: a link may lead where one of the shim's might follow it."""
        others = [path for root in roots for path in (root.path, *guard.others(root))]
        return PathResolver(disk, parent(self.path), others, AllowedPaths(guard.table, own))

    def _now(
        self, resolver: PathResolver, watch: Watchlist, *, local: bool
    ) -> tuple[str, str, str]:
        """Read it: state, digest, why."""
        try:
            status = b""
            if local:
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
        return "present", digest(watch.secret, items), ""

    def _take(self, look: EnvSeen) -> EnvSeen | None:
        pushed = self.pushed
        if not self.requested and pushed is not None:
            same = (pushed.state, pushed.digest, pushed.why) == (look.state, look.digest, look.why)
            if same:
                return None
        self.requested = False
        self.pushed = look
        return look


class EnvDir:
    """The env files of one directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.files: dict[str, EnvState] = {}  # by their names
        self._mount: Mount | None = None

    def doubtful(
        self, disk: Disk, guard: MountGuard, watch: Watchlist, roots: list[RootState]
    ) -> list[EnvState]:
        """The files that have to be looked at: all of them where anything is not as it was."""
        every = list(self.files.values())
        try:
            before = self._where(guard, watch)
            moved, self._mount = before != self._mount, before
            if moved or any(not root.known and root.spec.must_mount for root in roots):
                return every
            kinds = disk.names(self.path)
            local = not before.is_share
            found = [
                env
                for name, env in self.files.items()
                if not env.stands(disk, kinds.get(name), local=local)
            ]
            guard.unmoved(before, self._where(guard, watch))
        except (OSError, NotMounted):
            self._mount = None
            return every
        return found

    def _where(self, guard: MountGuard, watch: Watchlist) -> Mount:
        mount = guard.mounts().holding(guard.real(self.path))
        guard.own(mount, self.path, watch)
        return mount


def _beside(path: str, root: str) -> bool:
    """Whether a path may lie on the same share as a root: they have their first directory alike."""
    return path.split("/")[1:2] == root.split("/")[1:2]
