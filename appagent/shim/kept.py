"""The copy of an app's Makefile that a stop needs once the app was removed, and whose it is.

A copy was judged for the user that its run belonged to, and must never run as anybody else:
whoever owns what lies in its place now, or is named in `run_as` since, has not agreed to it. So
both are one file, in which neither is ever without the other: the uid in its first line, which a
Makefile takes for a comment, and behind it the Makefile.
"""

from __future__ import annotations

import os

from appagent.host import files
from appagent.shim.trust import Refused

MAX_BYTES = 1024 * 1024  # of a Makefile; of a larger one no copy is kept

_NAME = "Makefile.kept"
_HEAD = b"# kept by appagent for a stop as uid "


class Kept:
    """A Makefile, and the uid it may run as."""

    def __init__(self, uid: int, makefile: bytes) -> None:
        self.uid = uid
        self.makefile = makefile


def read(folder: str) -> Kept | None:
    """Read what is kept of an app; None if nothing is, or its user is not in it."""
    try:
        fd = os.open(f"{folder}/{_NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            head, _, makefile = file.read(len(_HEAD) + 32 + MAX_BYTES).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror}") from None
    uid = head.removeprefix(_HEAD)
    return Kept(int(uid), makefile) if head.startswith(_HEAD) and uid.isdigit() else None


def keep(folder: str, uid: int, makefile: bytes) -> None:
    """Keep a copy in place of the one before; of none (it was too large), no older one either.

    Raises OSError if it cannot be written.
    """
    path = f"{folder}/{_NAME}"
    if not makefile:
        if os.path.lexists(path):
            os.unlink(path)
        return
    os.makedirs(folder, 0o755, exist_ok=True)
    files.replace(path, _HEAD + b"%d\n" % uid + makefile)
