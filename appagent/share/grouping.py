"""Which watcher watches which path: one for each mounted share, one for all that is local.

Pure but for reading local symlinks: where a path leads through one, what counts is where it leads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from appagent.host.mounts import Mounts, real


def local_link(path: str) -> str | None:
    """Give the text of a symlink on a local filesystem, None for anything else."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def group(
    table: str, paths: Iterable[str], link: Callable[[str], str | None] = local_link
) -> dict[str, tuple[str, ...]]:
    """Group paths by the mount point of the share that holds them; "" for local ones.

    `table` is the text of /proc/self/mountinfo. No share is touched.
    """
    mounts = Mounts(table)
    groups: dict[str, list[str]] = {}
    for path in paths:
        mount = mounts.holding(real(path, mounts, link))
        groups.setdefault(mount.point if mount.is_share else "", []).append(path)
    return {share: tuple(found) for share, found in groups.items()}
