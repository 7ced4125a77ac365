"""The state directory itself: the agent's alone, and of one agent at a time."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from appagent.host import files


class StateError(Exception):
    """The state directory cannot be used; the text is one line for a person."""


def make_directory(path: Path) -> None:
    """Create the state directory if it is missing; refuse one that others can write."""
    if not path.is_absolute():
        raise StateError(f"state_dir {path} is not an absolute path")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as error:
        why = "not a directory" if isinstance(error, FileExistsError) else error.strerror
        raise StateError(f"cannot use state_dir {path}: {why}") from error
    if found.st_uid != os.geteuid():
        raise StateError(
            f"state_dir {path} belongs to uid {found.st_uid}, not to uid {os.geteuid()}"
        )
    foreign = 0o002 if found.st_gid == os.getegid() else 0o022
    if found.st_mode & foreign:
        raise StateError(f"state_dir {path} can be written by others: chmod go-w {path}")


def take_lock(directory: Path) -> int:
    """Lock the directory against a second agent; the descriptor that holds the lock."""
    path = directory / "lock"
    try:
        handle = _lock(path)
    except BlockingIOError as error:
        pid = files.read_pid(path)
        who = f"another agent (pid {pid})" if pid else "another agent"
        raise StateError(f"state_dir {directory} is used by {who}") from error
    except OSError as error:
        raise StateError(
            f"cannot use state_dir {directory}: {path.name}: {error.strerror}"
        ) from error
    with contextlib.suppress(OSError):  # a full disk: the lock holds without a pid in it
        files.write_pid(handle)
    return handle


def _lock(path: Path) -> int:
    try:
        return files.lock(path)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return files.lock(path, flags=os.O_RDONLY)
