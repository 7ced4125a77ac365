"""Which filesystem a path lies on, from the text of /proc/self/mountinfo. Nothing is touched here.

inotify on a network filesystem accepts a watch and then reports only what this very node writes,
so the kind of filesystem decides how a path is watched, and by which process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

# Kinds whose files other machines write too. `fuse.*` can be local (mergerfs): polling it is only
# slower, while trusting inotify on sshfs would be blind.
_SHARES = frozenset(
    "9p afs autofs beegfs ceph cifs fuse gfs2 gpfs lustre ncpfs nfs nfs4 ocfs2 smb3 smbfs"
    " virtiofs".split()
)
_MOST_LINKS = 40  # as the kernel has it
_MOST_STEPS = 400  # names on the way, those in the texts of links as well
_ESCAPE = re.compile(r"\\([0-3][0-7]{2})")
_REMEMBERED = 4096  # paths


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. Mounted again, the same filesystem has another `id`."""

    id: int
    point: str
    fstype: str
    source: str = ""
    options: str = field(default="", compare=False)
    disk_options: str = field(default="", compare=False)  # of the filesystem, all its mounts have

    @property
    def is_share(self) -> bool:
        """Whether other machines write here too."""
        return self.fstype in _SHARES or self.fstype.startswith("fuse.")

    def is_right_for(self, path: str, *, was_share: bool) -> bool:
        """Whether it will do for a directory that must be mounted (`path` without symlinks).

        That is a share, or any filesystem mounted just there; the latter will not do for a
        directory that was ever seen on a share.
        """
        return self.is_share or (self.point == path and not was_share)

    def has_inotify(self, watch: str) -> bool:
        """Whether a directory on it is watched by inotify; `watch` is auto, inotify or poll."""
        return watch == "inotify" or (watch == "auto" and not self.is_share)


NOWHERE = Mount(-1, "/", "")


def mounts_in(mountinfo: str) -> Iterator[Mount]:
    """Read the text of /proc/self/mountinfo.

    A later line covers an earlier one with the same mount point.
    """
    for line in mountinfo.split("\n"):
        fields, _, rest = line.partition(" - ")
        number, _, _, _, point, options, *_ = [*fields.split(" "), *[""] * 6]
        fstype, source, disk_options, *_ = [*rest.split(" "), *[""] * 3]
        if number.isdigit() and fstype:
            yield Mount(int(number), _plain(point), fstype, _plain(source), options, disk_options)


def _plain(field: str) -> str:
    r"""Undo the kernel's escapes: \040 is a blank."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)


class Mounts:
    """What is mounted, for questions about paths (absolute, normalised, without symlinks)."""

    def __init__(self, text: str) -> None:
        self.text = text
        # A later line covers an earlier one of the same mount point.
        self.by_point = {mount.point: mount for mount in mounts_in(text)}
        # The same few paths are asked for at every poll.
        self._found: dict[str, Mount] = {}
        self._below: dict[str, frozenset[str]] = {}

    def holding(self, path: str) -> Mount:
        """Give the mount with the longest mount point at or above the path."""
        found = self._found.get(path) or self.by_point.get(path)
        if found is None and path in ("/", ""):
            return NOWHERE
        if found is None:
            found = self.holding(path.rpartition("/")[0] or "/")
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[path] = found
        return found

    def below(self, path: str) -> frozenset[str]:
        """Give the mount points inside a directory."""
        found = self._below.get(path)
        if found is None:
            if len(self._below) >= _REMEMBERED:
                self._below.clear()
            prefix = path.rstrip("/") + "/"
            found = frozenset(point for point in self.by_point if point.startswith(prefix))
            self._below[path] = found
        return found


def real(path: str, mounts: Mounts, link: Callable[[str], str | None]) -> str:
    """Resolve the symlinks of a path as far as it is local; below a share nothing is touched.

    `link` gives the text of a symlink, None for anything else (also for what cannot be read).
    """
    done, todo, followed, asked = "/", [part for part in path.split("/") if part], 0, 0
    while todo:
        part = todo.pop(0)
        if part == ".":
            continue
        if part == "..":
            done = done.rpartition("/")[0] or "/"
            continue
        step = done.rstrip("/") + "/" + part
        if mounts.holding(step).is_share or followed > _MOST_LINKS or asked >= _MOST_STEPS:
            done = step
            continue
        asked += 1
        text = link(step)
        if text is None:
            done = step
            continue
        followed += 1
        done = "/" if text.startswith("/") else done
        todo = [more for more in text.split("/") if more] + todo
    return done
