"""The few things that show cheaply that an app may have changed: links, HEAD, refs.

An inspection of an app costs a dozen operations on the share, a poll of its markers one or two. If
they are unchanged the app is; if they changed or cannot be read, the app is inspected.
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
    """What is there cannot be deployed; the text is the reason."""


class Marker(NamedTuple):
    """One of them, and how it was."""

    kind: str
    path: str
    value: bytes = b""
    base: str = ""  # below which no link is followed


def unchanged(disk: Disk, markers: Iterable[Marker]) -> bool:
    """Whether all markers are as they were. Raises OSError where one cannot be read."""
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
    """Whether a name is in the listing of its directory, the only proof that it is not.

    Where that directory is missing too, its own parent has to prove it; an error proves nothing.
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
