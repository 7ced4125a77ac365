"""Ids that are made of what others have read, and what can be read back from them."""

from __future__ import annotations

# What hashlib hands out too; but importing all of hashlib would cost each run 4 ms.
from _blake2 import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NO_FILE = "-"  # in place of the digest of an optional env file that is not there


def conf_id(user: str, digests: Sequence[str]) -> str:
    """Give the id of the environment that targets get: who they run as, and each env file in order.

    `user` is the text of `run_as`; for `owner` it is "owner:<uid>" (see `user_text`). `digests`
    are those of envfile.digest, NO_FILE for an optional file that is missing.
    """
    text = "\0".join((user, *digests)).encode("utf-8", "surrogateescape")
    return "env.1:" + blake2b(text, digest_size=8, person=b"appagent.conf").hexdigest()


def user_text(run_as: str, owner: int) -> str:
    """The user that targets run as, for `conf_id`: with run_as `owner` it names the owner's uid."""
    return f"owner:{owner}" if run_as == "owner" else run_as


def inode(release: str) -> int | None:
    """Give the inode of the directory that a release was seen in; None if its id has none.

    >>> inode("symlink.1:releases/2026-01-02:1234")
    1234
    >>> inode("git.1:0123456789abcdef0123")
    """
    scheme, _, rest = release.partition(":")
    number = rest.rpartition(":")[2]
    return int(number) if scheme == "symlink.1" and number.isdecimal() else None
