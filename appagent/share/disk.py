"""Every operation on a share, and nothing else: the one place where a share can hang or fail.

Whoever looks at a share does it through a `Disk`, so a test can make any of these calls fail in
any way, or never return. Nothing here answers "is it there?": on a share an error can look like an
absence (os.path.exists is False when the connection is gone), so existence is decided by listing
the parent, and every error is the caller's to judge.

Each thread has a `Disk` of its own. Its `Pulse` tells the main thread, which never touches a
share, since when a call has not come back and which one it is.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

LINK, DIR, FILE, OTHER = "l", "d", "f", "o"

_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_DEVICE = 0  # major number of what lies on no disk of this machine: shares, tmpfs, overlays
_NEEDS = 2.0  # s that one operation may take before it counts as one that hung
_BEAT_EVERY = 512  # entries of one directory between two signs of life


class NotPlain(Exception):
    """A small file was wanted, and this is something else, or too large."""


class Listing(NamedTuple):
    """A directory with the status of its entries; `vanished` were gone before they had one."""

    found: list[tuple[str, os.stat_result]]
    vanished: list[str]


class Pulse:
    """When a thread was last between two operations, and what it does since then."""

    __slots__ = ("_state", "hung")

    def __init__(self) -> None:
        self._state: tuple[float, str, str] | None = None
        self.hung = 0.0  # s, so far: what operations took beyond what any of them needs

    def begin(self, doing: str, path: str) -> None:
        """An operation begins."""
        now = time.monotonic()
        self._ended(now)
        self._state = (now, doing, path)  # one assignment: other threads read it

    def rest(self) -> None:
        """Nothing is being done."""
        if self._state is not None:
            self._ended(time.monotonic())
            self._state = None

    def _ended(self, now: float) -> None:
        state = self._state
        if state is not None and now - state[0] > _NEEDS:
            self.hung += now - state[0] - _NEEDS

    def read(self, now: float) -> tuple[float, str]:
        """Since when, and what; a thread that rests is between two operations now."""
        state = self._state
        return (now, "") if state is None else (state[0], f"{state[1]} {state[2]}")


class Disk:
    """The operations. All raise OSError as the kernel has it."""

    def __init__(self, pulse: Pulse | None = None) -> None:
        self.pulse = pulse or Pulse()
        self._mountinfo = -1
        self._mounted = ""
        self._poll = select.poll()

    def names(self, path: str) -> dict[str, str]:
        """List a directory: names and kinds (l, d, f or o), without the status of any."""
        self.pulse.begin("listing", path)
        with os.scandir(path) as entries:
            # A root is listed several times a second, so no call too many for each entry.
            return {
                entry.name: DIR if entry.is_dir(follow_symlinks=False) else _kind(entry)
                for entry in entries
            }

    def status(self, path: str) -> os.stat_result:
        """Give the status of what bears this name; a symlink is not followed."""
        self.pulse.begin("looking at", path)
        return os.lstat(path)

    def link(self, path: str) -> str:
        """Read a symlink."""
        self.pulse.begin("reading the link", path)
        return os.readlink(path)

    def read(self, path: str, most: int, *, follow: bool = False) -> bytes:
        """Read a small regular file; a FIFO or a device neither hangs nor fills the memory."""
        self.pulse.begin("reading", path)
        fd = os.open(path, _OPEN_FILE | (0 if follow else os.O_NOFOLLOW))
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise NotPlain("is not a regular file")
            if os.major(status.st_dev) == _NO_DEVICE:
                # What the page cache holds of a file on a share may be long out of date.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            data = os.read(fd, most + 1)
            # A status may be out of date, so it only spares to read on where it fits.
            while data and len(data) != status.st_size and len(data) <= most:
                more = os.read(fd, most + 1 - len(data))
                if not more:
                    break
                data += more
        finally:
            os.close(fd)
        if len(data) > most:
            raise NotPlain(f"is larger than {most // 1024} KiB")
        return data

    def open_dir(self, path: str, name: str = "", at: int | None = None) -> int:
        """Open a directory, by its path or by its name in an open one (`path` is for people)."""
        self.pulse.begin("opening", path)
        return os.open(name or path, _OPEN_DIR, dir_fd=at)

    def entries(self, fd: int, path: str, skip: Callable[[str, bool], bool]) -> Listing:
        """List an open directory with the status of each entry that is not skipped.

        Status and listing belong together: the listing has just brought it along, so asking for
        it now costs no round trip.
        """
        self.pulse.begin("scanning", path)
        listing = Listing([], [])
        with os.scandir(fd) as entries:
            for entry in entries:
                if skip(entry.name, entry.is_dir(follow_symlinks=False)):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    listing.vanished.append(entry.name)
                    continue
                listing.found.append((entry.name, status))
                if len(listing.found) % _BEAT_EVERY == 0:
                    self.pulse.begin("scanning", path)
        return listing

    def link_at(self, fd: int, name: str, path: str) -> str:
        """Read a symlink in an open directory."""
        self.pulse.begin("reading the link", path)
        return os.readlink(name, dir_fd=fd)

    def close(self, fd: int) -> None:
        """Close an open directory."""
        os.close(fd)

    def mountinfo(self) -> str:
        """Give the text of /proc/self/mountinfo; it is read only when the kernel says it changed.

        This is no share operation: it answers whatever the shares do.
        """
        if self._mountinfo < 0:
            self._mountinfo = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
            self._poll.register(self._mountinfo, select.POLLPRI)
        if self._mounted and not self._poll.poll(0):
            return self._mounted
        os.lseek(self._mountinfo, 0, os.SEEK_SET)
        parts = []
        while more := os.read(self._mountinfo, 65536):
            parts.append(more)
        self._mounted = b"".join(parts).decode("utf-8", "surrogateescape")
        return self._mounted


def _kind(entry: os.DirEntry[str]) -> str:
    """Tell what an entry is that is no directory."""
    if entry.is_symlink():
        return LINK
    return FILE if entry.is_file(follow_symlinks=False) else OTHER
