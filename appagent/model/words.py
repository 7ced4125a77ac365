"""The basic types: layouts, targets, outcomes, time, versions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Layout(StrEnum):
    """How an app's files lie on the share."""

    SYMLINK = "symlink"
    GIT = "git"
    TREE = "tree"


class Target(StrEnum):
    """A target of an app's Makefile that the agent may call."""

    BUILD = "build"
    INSTALL = "install"
    START = "start"
    RESTART = "restart"
    STOP = "stop"
    CHECK = "check"


class Outcome(StrEnum):
    """How a run ended."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    MISSING = "missing"  # the Makefile has no such target; nothing ran
    REFUSED = "refused"  # not trusted, or not runnable as configured; nothing ran
    MOVED = "moved"  # what was seen is not there any more; nothing ran
    BUSY = "busy"  # another run of the app still lives, which the agent did not know; nothing ran
    CANCELLED = "cancelled"  # ended by the agent: a newer release, a trigger or `cancel`
    LOST = "lost"  # the run left no result: the machine or the shim went down


NOTHING_RAN = frozenset({Outcome.MISSING, Outcome.REFUSED, Outcome.MOVED, Outcome.BUSY})


class Event:
    """What goes into the core. It does not decide what to do, only what to compare again."""

    __slots__ = ()


class Now(NamedTuple):
    """The time, as an argument."""

    mono: float
    wall: float


@dataclass(frozen=True, slots=True)
class Location:
    """Where a release lies. The three always belong together."""

    release: str
    directory: str  # absolute, resolved
    layout: Layout


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """What makes a deploy: the release, and the id of the environment its targets get."""

    release: str
    conf: str

    def __str__(self) -> str:
        return f"{self.release}+{self.conf}" if self.conf else self.release
