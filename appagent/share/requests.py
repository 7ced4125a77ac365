"""Requests to a watcher: one operation on the share, with its deadline, its result or its error.

Theory of operation. A request names an operation of `Disk` and a path below `<root>/.appagent/`;
nothing else on a share is ever written, and nothing while the share is not mounted. The watcher has
a thread for requests, so one that hangs stops no poll; those behind it wait, and are answered with
an error once their deadline has passed.
An operation that had started may be done although its deadline has passed or the watcher has ended:
the caller must be able to find that out, or to repeat it.

Bounds: `MOST_WAITING` requests, `MOST_CONTENT` bytes each way, `MOST_NAMES` names of a directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

FLEET_DIR = ".appagent"  # in a root: the only directory that requests reach
MOST_WAITING = 64
MOST_CONTENT = 64 * 1024  # bytes
MOST_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Operation:
    """What is to be done. Paths are relative to `<root>/.appagent`; "" is that directory itself."""

    name: str  # as in request_thread._OPERATIONS: those of a Disk
    root: str
    path: str
    to: str = ""  # rename, link: the other path; symlink: the text
    content: bytes = b""  # write


@dataclass(frozen=True, slots=True)
class Request:
    """An operation, and the time (mono, s) from which on it must not begin any more."""

    id: int
    deadline: float
    operation: Operation


class Problem(StrEnum):
    """Why a request failed."""

    OS = "os"  # the operation did, with an errno
    DEADLINE = "deadline"  # it had not started in time
    UNAVAILABLE = "unavailable"  # the share is not mounted, or too many others wait
    REFUSED = "refused"  # unknown operation, or outside of what is allowed
    INTERNAL = "internal"  # a bug in appagent


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of a request."""

    problem: Problem
    text: str
    errno: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: of a read the content, of a listing names and kinds."""

    id: int
    content: bytes = b""
    names: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None


class RequestRefused(ValueError):
    """The request itself is wrong; the operation was not done."""


_ERRORS: Mapping[Problem, type[Exception]] = {
    Problem.DEADLINE: TimeoutError,
    Problem.UNAVAILABLE: ConnectionError,
    Problem.REFUSED: RequestRefused,
    Problem.INTERNAL: RuntimeError,
}


def error_of(failure: Failure) -> Exception:
    """Make the error that a request failed with, as if it had been done here."""
    if failure.problem is Problem.OS:
        return OSError(failure.errno, failure.text, failure.path or None)
    return _ERRORS[failure.problem](failure.text)
