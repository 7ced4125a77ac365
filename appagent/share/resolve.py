"""How an app's paths are followed: link by link, each step judged before it is taken.

The kernel follows no link of a deployer's for us. It would go wherever one leads: onto a share that
hangs, or to a device that does something by being opened. So every link below the directories that
the administrator has named is read and resolved here, and `Disk` takes the path that comes out of
it without following anything; where a directory was replaced by a link meanwhile, that fails.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from appagent.share.disk import Disk, NotPlain
from appagent.share.markers import LINK, Marker, NotDeployable, is_listed

_TOP = "/"
_MOST_LINKS = 40  # as the kernel has it
_MOST_STEPS = 400  # names on the way, those in the texts of links as well
_LINKED = (errno.ELOOP, errno.ENOTDIR)  # what a path gives that has a link in it


class ResolvedPath(NamedTuple):
    """A path without symlinks in it, and the links that led there."""

    path: str
    links: tuple[tuple[str, str], ...] = ()


class PathResolver:
    """The ways from the directories that the administrator has named.

    `root` is where they begin, `others` are further ones. `allowed` returns why a path must not be
    touched, "" if it may.
    """

    def __init__(
        self, disk: Disk, root: str, others: Iterable[str], allowed: Callable[[str], str]
    ) -> None:
        self.disk = disk
        self.root = root.rstrip("/") or "/"
        self._bases = tuple(dict.fromkeys((self.root, *others)))
        self._allowed = allowed

    def base(self, path: str) -> str:
        """The named directory that a path lies in; whatever lies in none begins at the top."""
        for base in self._bases:
            if path == base or path.startswith(f"{base.rstrip('/')}/"):
                return base
        return _TOP

    def names(self, path: str) -> dict[str, str]:
        """List a directory."""
        return self.disk.names(path, base=self.base(path))

    def read(self, path: str, most: int) -> bytes:
        """Read a small file. Raises NotDeployable where it is anything else."""
        why = self._allowed(path)
        if why:
            raise NotDeployable(f"{path} {why}")
        try:
            return self.disk.read(path, most, base=self.base(path))
        except NotPlain as error:
            raise NotDeployable(f"{path} {error}") from None

    def find(self, path: str, most: int) -> tuple[ResolvedPath, bytes | None]:
        """Read a small file over links, None where there seems to be nothing; and where it is.

        Links are resolved only where the path has any, so mostly this costs nothing.
        """
        resolved = ResolvedPath(path)
        try:
            return resolved, self.read(path, most)
        except FileNotFoundError:
            return resolved, None
        except OSError as error:
            if error.errno not in _LINKED:
                raise
            resolved = self.resolve_existing(path)
        try:
            return resolved, self.read(resolved.path, most)
        except (FileNotFoundError, NotADirectoryError):
            return resolved, None

    def resolve_existing(self, path: str) -> ResolvedPath:
        """Follow a path as far as there is anything; no link may lead out of those directories."""
        done, rest = path, ""
        while True:
            try:
                resolved, _ = self.follow(done)
            except (FileNotFoundError, NotADirectoryError):
                done, _, name = done.rpartition("/")
                rest = f"/{name}{rest}"
                continue
            if resolved.links:
                self.need_inside(path, resolved.path)
            return ResolvedPath(f"{resolved.path.rstrip('/')}{rest}", resolved.links)

    def need_missing(self, path: str) -> None:
        """Raise FileNotFoundError where a listing has the name after all."""
        if is_listed(self.disk, path, base=self.base(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def need_inside(self, path: str, leads_to: str) -> None:
        """Raise NotDeployable where a path leads out of the named directories."""
        if self.base(leads_to) == _TOP:
            what = "is" if path == leads_to else f"leads to {leads_to}, which is"
            raise NotDeployable(f"{path} {what} neither in {self.root} nor in release_dirs")

    def follow(self, path: str) -> tuple[ResolvedPath, os.stat_result]:
        """Follow every symlink of a path that begins in a named directory, or at the top."""
        done, todo = self._split(path)
        links: list[tuple[str, str]] = []
        status: os.stat_result | None = None
        steps = 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            steps += 1
            if steps > _MOST_STEPS:
                raise NotDeployable(f"{path} leads over more than {_MOST_STEPS} directories")
            if part == "..":
                done, status = parent(done), None
                continue
            step = f"{done.rstrip('/')}/{part}"
            why = self._allowed(step)
            if why:
                raise NotDeployable(f"{step} {why}")
            status = self.disk.status(step, base=self.base(step))
            if not stat.S_ISLNK(status.st_mode):
                done = step
                continue
            if len(links) >= _MOST_LINKS:
                raise NotDeployable(f"{path} leads from link to link")
            text = self.disk.readlink(step, base=self.base(step))
            links.append((step, text))
            done, rest = self._split(text) if text.startswith("/") else (done, text.split("/"))
            todo, status = [*rest, *todo], None
        # Without a status the last part was `..`, or there was none.
        status = status or self.disk.status(done, base=self.base(done))
        return ResolvedPath(done, tuple(links)), status

    def markers(self, resolved: ResolvedPath) -> list[Marker]:
        """The markers that show that the links still lead there."""
        return [self.marker(LINK, path, os.fsencode(text)) for path, text in resolved.links]

    def marker(self, kind: str, path: str, value: bytes = b"") -> Marker:
        """Make a marker of something that was read."""
        return Marker(kind, path, value, self.base(path))

    def _split(self, path: str) -> tuple[str, list[str]]:
        """Where to begin with an absolute path: at the root, if it lies inside, else at the top."""
        inside = path.removeprefix(self.root.rstrip("/") + "/")
        return (self.root, inside.split("/")) if inside != path else ("/", path.split("/"))


def parent(path: str) -> str:
    """The directory that a path names something in."""
    return path.rpartition("/")[0] or "/"
