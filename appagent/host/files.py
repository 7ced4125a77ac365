"""Files that are replaced as a whole, and files that are locked.

Light: the shim imports this at the start of every run.
"""

from __future__ import annotations

import fcntl
import os

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    AnyPath = str | os.PathLike[str]


def replace(path: AnyPath, data: bytes, mode: int = 0o600, *, sync: bool = False) -> None:
    """Replace a file by way of `<path>.new`: a reader finds the old content or the new one.

    With `sync` that holds after a crash of the machine too. Raises OSError and leaves no temporary
    file.
    """
    path = os.fspath(path)
    fresh = f"{path}.new"
    try:
        fd = os.open(fresh, _NEW, mode)
        try:
            write_all(fd, data)
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(fresh, path)
    except OSError:
        remove(fresh)
        raise
    if sync:
        sync_directory(os.path.dirname(path))


def write_all(fd: int, data: bytes) -> None:
    """Write all of it: one write may take less."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: AnyPath) -> None:
    """Put the names in a directory on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path: AnyPath) -> None:
    """Remove a file if it exists and can be removed."""
    try:
        os.unlink(path)
    except OSError:
        return


def lock(path: AnyPath, mode: int = 0o600, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file and lock it (flock, exclusive); the descriptor, which holds the lock.

    Raises BlockingIOError if another process holds it, OSError if it cannot be opened or locked.
    """
    while True:
        fd = os.open(path, flags | _LOCK, mode)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        try:
            if os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False)):
                return fd
        except OSError:
            pass
        os.close(fd)  # it was removed in that moment: lock the one that is there now


def write_pid(fd: int) -> None:
    """Replace the content of a locked file by our pid, for a person to read. Raises OSError."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def read_pid(path: AnyPath) -> int:
    """Read the pid that the holder of a lock has written; 0 if there is none."""
    try:
        with open(path, "rb") as file:
            return int(file.read(20))
    except (OSError, ValueError):
        return 0
