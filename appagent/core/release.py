"""Release ids for people: the part by which they know it."""

from __future__ import annotations

SHORT = 12  # characters that identify a hash


def short(release: str) -> str:
    """The release as a person calls it: the directory's name, the commit, the hash.

    >>> short("symlink.1:releases/2026-01-02:1234")
    '2026-01-02'
    >>> short("git.1:0123456789abcdef0123")
    '0123456789ab'
    >>> short("tree.1:77aa:0123456789abcdef0123")
    '0123456789ab'
    >>> short("")
    '-'
    """
    scheme, _, rest = release.partition(":")
    if not rest:
        return release or "-"
    if scheme.startswith("symlink"):
        return rest.rpartition(":")[0].rstrip("/").rpartition("/")[2] or rest
    return rest.rpartition(":")[2][:SHORT]
