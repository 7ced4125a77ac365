"""Every operation on a share, and nothing else: the one place where a share can hang or fail.

Everything on a share is done through a `Disk`, so a test can make any of these calls fail in any
way, or never return. No operation answers "does it exist?": on a share an error can look like an
absence (os.path.exists is False when the connection is lost), so existence is decided by listing
the parent, and every error is for the caller to judge.

Whoever can write to a share decides what lies there, and the kernel would follow their links
anywhere. So an operation is given a `base`, the part of the path that the administrator wrote, and
below it follows no link (open_parent.py). The type of a file is checked on an O_PATH descriptor,
which opens no device, and only then the file is opened through it.

Each thread has a `Disk` of its own. Its `Pulse` shows the main thread, which never touches a
share, since when a call has not returned and which one it is.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from appagent.share.open_parent import OpenParent

LINK, DIR, FILE, OTHER = "l", "d", "f", "o"

_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SEE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REPLACED = (errno.ESTALE, errno.ENOENT)
_NO_DEVICE = 0  # major number of what lies on no disk of this machine: shares, tmpfs, overlays
_NEEDS = 2.0  # s that one operation may take before it counts as one that hung
_BEAT_EVERY = 512  # entries of one directory between two beats of the pulse
_MOST_ENTRIES = 100_000  # of a directory that is listed by names


class Pulse:
    """Shows the main thread since when another one has been in one operation, and in which."""

    __slots__ = ("_clock", "_state", "hung")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._state: tuple[float, str, str] | None = None
        self.hung = 0.0  # s, so far: what operations took beyond what any of them needs

    def begin(self, doing: str, path: str) -> None:
        """An operation begins."""
        now = self._clock()
        self._ended(now)
        self._state = (now, doing, path)  # one assignment: other threads read it

    def rest(self) -> None:
        """Nothing is being done."""
        if self._state is not None:
            self._ended(self._clock())
            self._state = None

    def _ended(self, now: float) -> None:
        state = self._state
        if state is not None and now - state[0] > _NEEDS:
            self.hung += now - state[0] - _NEEDS

    def read(self, now: float) -> tuple[float, str]:
        """Since when, and what; a thread that rests is between two operations now."""
        state = self._state
        return (now, "") if state is None else (state[0], f"{state[1]} {state[2]}")


class NotPlain(Exception):
    """Not a small regular file."""


class Listing(NamedTuple):
    """A directory with the status of its entries; `vanished` were removed before they had one."""

    found: list[tuple[str, os.stat_result]]
    vanished: list[str]


class Disk:
    """The operations. All raise OSError as the kernel has it."""

    def __init__(self, pulse: Pulse | None = None, most_entries: int = _MOST_ENTRIES) -> None:
        self.pulse = pulse or Pulse()
        self._most_entries = most_entries
        self._mountinfo = -1
        self._mounted = ""
        self._poll = select.poll()

    def names(self, path: str, *, base: str = "") -> dict[str, str]:
        """List a directory: names and kinds (l, d, f or o), without the status of any."""
        with self._at("listing", path, base) as (at, name):
            if at is None:
                with os.scandir(name) as entries:
                    return self._names(entries, path)
            fd = os.open(name, _OPEN_DIR, dir_fd=at)
            try:
                with os.scandir(fd) as entries:
                    return self._names(entries, path)
            finally:
                os.close(fd)

    def _names(self, entries: Iterator[os.DirEntry[str]], path: str) -> dict[str, str]:
        found: dict[str, str] = {}
        while some := list(islice(entries, _BEAT_EVERY)):
            # A root is listed several times a second, so no call too many for each entry.
            found.update(
                [
                    (entry.name, DIR if entry.is_dir(follow_symlinks=False) else _kind(entry))
                    for entry in some
                ]
            )
            if len(found) > self._most_entries:
                what = f"too many entries (more than {self._most_entries})"
                raise OSError(errno.EOVERFLOW, what, path)
            if len(some) == _BEAT_EVERY:
                self.pulse.begin("listing", path)
        return found

    def _at(self, doing: str, path: str, base: str) -> OpenParent:
        """Begin an operation on what bears this name."""
        self.pulse.begin(doing, path)
        return OpenParent(path, base)

    def status(self, path: str, *, base: str = "") -> os.stat_result:
        """Give the status of what bears this name; a symlink is not followed."""
        with self._at("reading the status of", path, base) as (at, name):
            return os.stat(name, dir_fd=at, follow_symlinks=False)

    def readlink(self, path: str, *, base: str = "") -> str:
        """Read a symlink."""
        with self._at("reading the link", path, base) as (at, name):
            return os.readlink(name, dir_fd=at)

    def read(self, path: str, most: int, *, base: str = "") -> bytes:
        """Read a small regular file; what else bears the name is never opened. Of a link: ELOOP."""
        with self._at("reading", path, base) as (at, name):
            fd = _open_file(name, at)
            try:
                data = _read(fd, most)
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
            for number, entry in enumerate(entries, 1):
                if number % _BEAT_EVERY == 0:
                    self.pulse.begin("scanning", path)
                if skip(entry.name, entry.is_dir(follow_symlinks=False)):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    listing.vanished.append(entry.name)
                    continue
                listing.found.append((entry.name, status))
        return listing

    def readlink_at(self, fd: int, name: str, path: str) -> str:
        """Read a symlink in an open directory."""
        self.pulse.begin("reading the link", path)
        return os.readlink(name, dir_fd=fd)

    def close(self, fd: int) -> None:
        """Close an open directory."""
        os.close(fd)

    # --- writes: those of the request thread ------------------------------------------------------

    def mkdir(self, path: str, mode: int = 0o755, *, base: str = "") -> None:
        """Make a directory."""
        with self._at("making the directory", path, base) as (at, name):
            os.mkdir(name, mode, dir_fd=at)

    @contextmanager
    def _two(
        self, doing: str, path: str, to: str, base: str
    ) -> Iterator[tuple[str, str, int | None, int | None]]:
        """Begin an operation on two names: the names, and the directories in which they are."""
        self.pulse.begin(doing, path)
        with OpenParent(to, base) as (to_at, to_name), OpenParent(path, base) as (at, name):
            yield name, to_name, at, to_at

    def rename(self, path: str, to: str, *, base: str = "") -> None:
        """Rename a path, also over what bears the other name."""
        with self._two("renaming", path, to, base) as (name, new, at, new_at):
            os.rename(name, new, src_dir_fd=at, dst_dir_fd=new_at)

    def symlink(self, path: str, text: str, *, base: str = "") -> None:
        """Make a new symlink with this text."""
        with self._at("making the link", path, base) as (at, name):
            os.symlink(text, name, dir_fd=at)

    def link(self, path: str, to: str, *, base: str = "") -> None:
        """Give a file a second name, `to`, which must be new; a symlink is not followed."""
        with self._two("linking", path, to, base) as (name, new, at, new_at):
            os.link(name, new, src_dir_fd=at, dst_dir_fd=new_at, follow_symlinks=False)

    def write(self, path: str, data: bytes, mode: int = 0o644, *, base: str = "") -> None:
        """Write a new file and sync it. After an error a part of it may be there."""
        with self._at("writing", path, base) as (at, name):
            fd = os.open(name, _NEW_FILE, mode, dir_fd=at)
            try:
                remaining = memoryview(data)
                while remaining:
                    remaining = remaining[os.write(fd, remaining) :]
                self.pulse.begin("syncing", path)
                os.fsync(fd)
            finally:
                os.close(fd)

    def sync_dir(self, path: str, *, base: str = "") -> None:
        """Sync a directory: the names in it are on disk then."""
        with self._at("syncing", path, base) as (at, name):
            fd = os.open(name, _OPEN_DIR, dir_fd=at)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def unlink(self, path: str, *, base: str = "") -> None:
        """Remove a file or a symlink."""
        with self._at("removing", path, base) as (at, name):
            os.unlink(name, dir_fd=at)

    def rmdir(self, path: str, *, base: str = "") -> None:
        """Remove an empty directory."""
        with self._at("removing", path, base) as (at, name):
            os.rmdir(name, dir_fd=at)

    # --- this machine -----------------------------------------------------------------------------

    def mountinfo(self) -> str:
        """Return the text of /proc/self/mountinfo, read again only when it changed.

        This is not a share operation: it returns whatever the shares do.
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


def _open_file(name: str, at: int | None) -> int:
    """Open a regular file, once it is seen to be one."""
    seen = os.open(name, _SEE, dir_fd=at)
    try:
        _need_file(seen)
        return os.open(f"/proc/self/fd/{seen}", _OPEN_FILE)
    except OSError as error:
        if error.errno not in _REPLACED:
            raise
    finally:
        os.close(seen)
    # What bore the name was removed, though this node has not forgotten it yet. Asked by the name
    # the kernel finds what bears it now; that is not a link either, and checked once it is open.
    fd = os.open(name, _OPEN_FILE | os.O_NOFOLLOW, dir_fd=at)
    try:
        _need_file(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _need_file(fd: int) -> None:
    mode = os.fstat(fd).st_mode
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(mode):
        raise NotPlain("is not a regular file")


def _read(fd: int, most: int) -> bytes:
    """Read at most one byte more than that from an open file."""
    status = os.fstat(fd)
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
    return data


def _kind(entry: os.DirEntry[str]) -> str:
    """Return the kind of an entry that is not a directory."""
    if entry.is_symlink():
        return LINK
    return FILE if entry.is_file(follow_symlinks=False) else OTHER
