"""The few things that tell at a glance that an app may have changed: links, HEAD, refs.

A whole look at an app costs a dozen operations on the share, a look at its marks one or two. Marks
that stand say "as before"; marks that do not stand, or cannot be read, only say "look properly".
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from appagent.share.disk import Disk, NotPlain

LINK = "link"  # the text of a symlink
CONTENT = "content"  # what a small file holds
STATUS = "status"  # a file that is too large to be read each time
ABSENT = "absent"  # a name that is not there

_MOST = 4096


class NotDeployable(Exception):
    """What is there is no release that could be deployed; the text says what it is instead."""


class Marker(NamedTuple):
    """One of them, and how it was."""

    kind: str
    path: str
    value: bytes = b""
    base: str = ""  # below which no link is followed


def unchanged(disk: Disk, markers: Iterable[Marker]) -> bool:
    """Whether all marks are as they were. Raises OSError where one cannot be read."""
    for marker in markers:  # noqa: SIM110 - done so often that a generator counts
        if _value(disk, marker) != marker.value:
            return False
    return True


def _value(disk: Disk, marker: Marker) -> bytes | None:
    if marker.kind == LINK:
        return os.fsencode(disk.readlink(marker.path, base=marker.base))
    if marker.kind == CONTENT:
        try:
            return disk.read(marker.path, _MOST, base=marker.base)
        except NotPlain:
            return None
    if marker.kind == STATUS:
        return status_text(disk.status(marker.path, base=marker.base))
    return None if is_listed(disk, marker.path, base=marker.base) else b""


def status_text(status: os.stat_result) -> bytes:
    """What of a file's status changes whenever the file does."""
    what = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return b"%d %d %d %d" % what


def is_listed(disk: Disk, path: str, *, base: str = "") -> bool:
    """Whether a name is in the listing of its directory, which alone can say that it is not.

    Where that directory is missing too, its own parent has to say so; an error is never an answer.
    """
    missing: OSError | None = None
    while True:
        parent, _, name = path.rpartition("/")
        try:
            listed = name in disk.names(parent or "/", base=base)
        except (FileNotFoundError, NotADirectoryError) as error:
            if parent in ("", "/"):
                raise
            missing, path = error, parent
            continue
        if listed and missing is not None:
            raise missing
        return listed
