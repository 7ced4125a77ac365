"""What the lock of an app says of the run that has it, or had it last (lock.py), for the agent."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from appagent.core.names import why_no_app
from appagent.host import files
from appagent.model.applied import Identity
from appagent.shim.lock import MAX_BYTES

END = ".lock"


@dataclass(frozen=True, slots=True)
class Account:
    """The newest run of an app, as its shim has told it."""

    app: str
    run_id: str
    identity: Identity
    run: bytes  # as the agent that began it had it
    result: dict[str, object] | None  # None: it is not over, or its shim was killed


def read(path: str) -> Account | None:
    """Read one; None if there is none, or none that makes sense."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            lines = file.read(MAX_BYTES).split(b"\n")
        head = json.loads(lines[0])
        identity = Identity(
            int(head["pid"]), int(head["started"]), str(head["unit"]), str(head["boot"])
        )
        app = os.path.basename(path).removesuffix(END)
        result = _object(lines[2]) if len(lines) > 3 else None  # noqa: PLR2004 - a whole line
        return Account(app, str(head["run_id"]), identity, lines[1], result)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def result(path: str, run_id: str) -> dict[str, object] | None:
    """Give the result of a run, if the file is about that one and it is over."""
    found = read(path)
    return found.result if found is not None and found.run_id == run_id else None


def all_in(directory: str) -> Iterator[Account]:
    """Give what the locks of all apps say."""
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(directory)):
            if name.endswith(END) and not why_no_app(name.removesuffix(END)):
                found = read(f"{directory}/{name}")
                if found is not None:
                    yield found


def remove(path: str) -> None:
    """Remove the lock of an app that is gone; not while a run has it."""
    with contextlib.suppress(OSError):
        fd = files.lock(path, flags=os.O_RDONLY)
        try:
            os.unlink(path)
        finally:
            os.close(fd)


def _object(line: bytes) -> dict[str, object]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise TypeError(line)
    return found
