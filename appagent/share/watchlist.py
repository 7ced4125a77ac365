"""What a watcher is to watch: made by the daemon, sent as one line, replaced as a whole.

There is one watcher for each mounted share, and one for all that is local.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from appagent.host.mounts import Mounts, real
from appagent.model.words import Layout


@dataclass(frozen=True, slots=True)
class Also:
    """A second release id that is wanted: under the scheme by which the release was applied."""

    scheme: str  # "tree.1", "git.1", "symlink.1"
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AppSpec:
    """How one app is polled or scanned. `layout` None: detected by what is there."""

    layout: Layout | None = None
    settle: float = 2.0
    ignore: tuple[str, ...] = ()
    also: Also | None = None


@dataclass(frozen=True, slots=True)
class RootSpec:
    """One root, how it is polled, and what is known of its apps.

    `must_mount`: it must lie on a share, or on a filesystem that is mounted just there; with
    `was_share`, because it was seen on a share before, only the former will do.
    `known` are the apps that the node has a record of: without a Makefile they are unknown, while
    another directory without one is simply not an app.
    """

    path: str
    watch: str = "auto"  # auto | inotify | poll
    interval: float = 0.25
    scan_interval: float = 2.0
    must_mount: bool = False
    was_share: bool = False
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    release_dirs: tuple[str, ...] = ()
    defaults: AppSpec = AppSpec()
    apps: Mapping[str, AppSpec] = field(default_factory=dict)  # only those that differ
    known: tuple[str, ...] = ()

    def spec(self, app: str) -> AppSpec:
        """How this app is polled or scanned."""
        return self.apps.get(app, self.defaults)


@dataclass(frozen=True, slots=True)
class Watchlist:
    """All that one watcher watches.

    `share` is the mount point that the watcher is for, "" for local paths, None where nobody cares:
    what lies on another filesystem than that is left alone, so that a watcher for local paths
    cannot hang because something was mounted over one of them.
    """

    roots: tuple[RootSpec, ...] = ()
    env: tuple[str, ...] = ()
    secret: bytes = field(default=b"", repr=False)
    manifests: str = ""  # directory on the local disk; "": none are kept
    share: str | None = None
    polls_per_second: float = 0.0  # over all markers; 0: no bound

    @property
    def paths(self) -> tuple[str, ...]:
        """The roots and env files by their paths."""
        return (*(root.path for root in self.roots), *self.env)


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

    `table` is the text of /proc/self/mountinfo. No share is touched: only local symlinks are read,
    and where a path leads through one, what counts is where it leads.
    """
    mounts = Mounts(table)
    groups: dict[str, list[str]] = {}
    for path in paths:
        mount = mounts.holding(real(path, mounts, link))
        groups.setdefault(mount.point if mount.is_share else "", []).append(path)
    return {share: tuple(found) for share, found in groups.items()}
