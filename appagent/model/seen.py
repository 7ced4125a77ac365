"""What a watcher reports: one value for each app, root and env file that it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from appagent.model.words import Event, Layout


@dataclass(frozen=True, slots=True)
class AppSeen:
    """One app, seen as a whole. Any error makes the whole of it unknown."""

    root: str
    app: str
    known: bool  # False: `why` says what stood in the way
    why: str = ""
    layout: Layout | None = None
    release: str = ""  # with its scheme: "tree.1:<ignore>:<hash>", "git.1:<commit>", "symlink.1:…"
    also: str = ""  # the id under the scheme and ignore lines of the applied one, when asked for
    release_dir: str = ""  # absolute, resolved
    owner: int = -1  # uid that owns the app's directory
    since: float = 0.0  # mono: begin of the first poll that saw just this
    at: float = 0.0  # mono: begin of the newest poll that saw just this
    incomplete: str = ""  # what says that it is half-written: ".deploying", ".git/index.lock"
    changing: tuple[str, ...] = ()  # paths that differed between this scan and the one before
    settings: str | None = None  # text of the app's own appagent.yaml (bounded), if it has one
    how: str = ""  # inotify | poll | scan | requested: which poll saw it first


@dataclass(frozen=True, slots=True)
class RootSeen(Event):
    """One root: whether it can be trusted at all, and the names in it."""

    root: str
    known: bool
    why: str = ""
    names: tuple[str, ...] = ()  # children that are apps, before include/exclude
    empty: bool = False  # no entry of any kind
    refused: Mapping[str, str] = field(default_factory=dict)  # name → why it cannot be an app
    plain: tuple[str, ...] = ()  # some of the directories that have no Makefile
    plain_count: int = 0  # of all of them
    mounted: bool = False  # a filesystem of its own kind (a share) holds it
    fstype: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class EnvSeen(Event):
    """One env file, read twice alike. `digest` is keyed with the node's secret."""

    path: str
    state: str  # present | missing | broken | unknown
    digest: str = ""
    why: str = ""  # for broken: "file:line: what is wrong"; for unknown: the error
    at: float = 0.0
    mounted: bool = False  # it lies on a share


class Slow(NamedTuple):
    """A tree that is scanned less often than it should be."""

    root: str
    app: str
    every: float  # s between two scans
    takes: float  # s that a scan takes


@dataclass(frozen=True, slots=True)
class Beat:
    """A watcher's heartbeat, once a second."""

    at: float  # mono, now
    poll: float  # mono: when the poller was last between two operations
    scan: float  # mono: the same for the scanner
    busy: str = ""  # what the older of the two is doing: "listing /files/production"
    interval: float = 0.0  # between polls of the markers, as in force
    why: str = ""  # that is more than it should be
    slow: tuple[Slow, ...] = ()  # trees that are scanned less often than they should be
