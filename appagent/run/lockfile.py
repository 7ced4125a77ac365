"""Reads the lock of an app: the run that holds it, or held it last (shim/lock.py)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from appagent.core.names import why_no_app
from appagent.host import files
from appagent.model.applied import Identity, Run
from appagent.model.codec import Damaged, Newer, dump, parse
from appagent.shim.lock import MAX_BYTES

END = ".lock"


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of an app, as its shim has written it down."""

    app: str
    run_id: str
    identity: Identity
    targets: tuple[str, ...]  # the steps that it may come to
    may_run: bool  # the app could have processes in this boot before the run
    processes: list[list[int]]  # left by the runs before, where there are no scopes
    run: Run | None  # None: it cannot be read
    result: dict[str, object] | None  # None: it is not over, or its shim was killed


def read(path: str) -> LastRun | None:
    """Read a lock; None if there is none, or none that makes sense."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            lines = file.read(MAX_BYTES).split(b"\n")
        head = _object(lines[0])
        return LastRun(
            app=os.path.basename(path).removesuffix(END),
            run_id=str(head["run_id"]),
            identity=Identity(
                int(head["pid"]), int(head["started"]), str(head["unit"]), str(head["boot"])
            ),
            targets=tuple(str(head["target"]).split(" or ")),
            may_run=head.get("may_run") is True,
            processes=processes_in(head.get("processes")),
            run=_run(lines[1]),
            result=_object(lines[2]) if len(lines) > 3 else None,  # noqa: PLR2004 - a whole line
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def result(path: str, run_id: str) -> dict[str, object] | None:
    """The result of a run, if it was the app's last one and it is over."""
    last = read(path)
    return last.result if last is not None and last.run_id == run_id else None


def all_in(directory: str) -> Iterator[LastRun]:
    """Read the locks of all apps."""
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(directory)):
            if name.endswith(END) and not why_no_app(name.removesuffix(END)):
                last = read(f"{directory}/{name}")
                if last is not None:
                    yield last


def remove(path: str) -> None:
    """Remove the lock of an app that was removed, unless a run holds it."""
    with contextlib.suppress(OSError):
        fd = files.lock(path, flags=os.O_RDONLY)
        try:
            os.unlink(path)
        finally:
            os.close(fd)


def run_line(run: Run) -> str:
    """A run as one line of JSON, for an agent that has no record of it."""
    return dump("run", run).decode("ascii").replace("\n", "")


def processes_in(value: object) -> list[list[int]]:
    """Check a list of processes that was read from JSON: pids with start times."""
    if not isinstance(value, list):
        return []
    return [[int(pid), int(started)] for pid, started in value]


def _run(line: bytes) -> Run | None:
    try:
        return parse("run", Run, line)
    except (Damaged, Newer):
        return None


def _object(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise TypeError(line)
    return found
