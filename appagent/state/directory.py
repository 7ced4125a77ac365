"""The state directory itself: ours alone, and of one agent at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path


class StateError(Exception):
    """The state directory cannot be used; the text is one line for a person."""


def make_directory(path: Path) -> None:
    """Create the state directory where it is not there; refuse one that is not ours alone."""
    if not path.is_absolute():
        msg = f"state_dir {path} is not an absolute path"
        raise StateError(msg)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        why = "not a directory" if isinstance(error, FileExistsError) else error.strerror
        msg = f"cannot use state_dir {path}: {why}"
        raise StateError(msg) from error
    if found.st_uid != os.geteuid():
        msg = f"state_dir {path} belongs to uid {found.st_uid}, not to uid {os.geteuid()}"
        raise StateError(msg)
    foreign = 0o002 if found.st_gid == os.getegid() else 0o022
    if found.st_mode & foreign:
        msg = f"state_dir {path} can be written by others: chmod go-w {path}"
        raise StateError(msg)


def take_lock(directory: Path) -> int:
    """Take the lock that no two agents hold, and leave our pid in it for a person to read."""
    path = directory / "lock"
    while True:
        try:
            handle = _open_lock(path)
        except OSError as error:
            msg = f"cannot use state_dir {directory}: {path.name}: {error.strerror}"
            raise StateError(msg) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
            os.close(handle)
            who = f"another agent (pid {holder})" if holder.isdigit() else "another agent"
            busy = error.errno in (errno.EWOULDBLOCK, errno.EACCES)
            why = f"used by {who}" if busy else f"not lockable: {error.strerror}"
            msg = f"state_dir {directory} is {why}"
            raise StateError(msg) from error
        try:
            same = os.path.samestat(os.fstat(handle), path.stat())
        except FileNotFoundError:
            same = False
        if same:
            break
        os.close(handle)  # somebody removed the file that we opened; lock the one that is there
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a pid in it
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
    return handle


def _open_lock(path: Path) -> int:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | flags)
