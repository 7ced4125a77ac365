"""The users and groups of this machine, from its files alone.

A name service is not asked: it may hang. Light: the shim imports this.
"""

from __future__ import annotations

USERS, GROUPS = "/etc/passwd", "/etc/group"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def local_users(path: str = USERS) -> Iterator[tuple[str, int, int]]:
    """Every user: name, uid, gid. Raises OSError."""
    for fields in _lines(path):
        if len(fields) > 3 and fields[2].isdecimal() and fields[3].isdecimal():  # noqa: PLR2004
            yield fields[0], int(fields[2]), int(fields[3])


def user_name(uid: int, path: str = USERS) -> str:
    """The name of a user, or `uid N`."""
    try:
        return next((name for name, number, _ in local_users(path) if number == uid), f"uid {uid}")
    except OSError:
        return f"uid {uid}"


def local_group(name: str, path: str = GROUPS) -> int | None:
    """The gid of a group; None if this machine has none of that name."""
    try:
        for fields in _lines(path):
            if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():  # noqa: PLR2004
                return int(fields[2])
    except OSError:
        return None
    return None


def _lines(path: str) -> Iterator[list[str]]:
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield line.rstrip("\n").split(":")
