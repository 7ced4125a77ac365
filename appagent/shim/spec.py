"""What the daemon sends to a shim: one message over its stdin, later the word to proceed.

It is written with marshal (built into the interpreter, the same on both ends, as the shim is
started by the very Python that the daemon runs on): importing json would cost every run 10 ms.
It never leaves the pipe between the two; what a later agent must be able to read, the result of
a run, is JSON.
"""

from __future__ import annotations

import marshal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Spec(TypedDict):
        """One run, as plain values."""

        run_id: str
        app: str
        target: str
        then: list[tuple[str, float]]  # the steps that may follow, and their timeouts
        release: str
        conf: str  # the id that the environment must have; "": any
        layout: str
        release_dir: str
        # The release is what the app's entry leads to now: if it leads elsewhere when the run
        # begins, that is MOVED. False for an earlier release. A stop ignores it.
        seen: bool
        timeout: float
        grace: float
        patience: dict[str, float]  # seconds for `names` and for `share`, before anything runs
        root: str
        # Of the filesystem that must hold the root, so that the empty directory below a share that
        # is not mounted is not taken for it; "": any
        fstype: str
        run_as: str
        trusted: list[str]
        release_dirs: list[str]
        env_files: list[str]
        secret: bytes
        variables: dict[str, str]  # APP_…, whatever the env files say
        search: str  # PATH
        lang: str
        targets: dict[str, str] | None  # what an earlier run found out; None: ask make
        unit: str  # the scope that the shim is in, or ""
        processes: list[list[int]]  # left by earlier runs, where there is no scope
        journal: bool  # output goes to the journal
        log: str  # … or to this file
        log_limit: int
        result: str
        lock: str  # of the app, see lock.py
        run: str  # as JSON, for an agent that has no record of it
        boot: str
        may_run: bool  # the app may have processes in this boot
        kept: str  # directory of what is kept about the app: a copy of its Makefile
        stop_dir: str  # to make and work in, for a stop when nothing else is left of the app
        failpoints: str


PROCEED = b"go\n"
MAX_BYTES = 48 * 1024  # it must fit into a pipe: the daemon never waits for a shim to read it

_LENGTH = 4
_VERSION = 2  # of marshal's format: the oldest that has all that is needed here


def pack(spec: Spec) -> bytes:
    """Make the bytes to send. Raises ValueError if they are too many."""
    body = marshal.dumps(dict(spec), _VERSION)
    if len(body) > MAX_BYTES:
        raise ValueError(f"the message to the shim is larger than {MAX_BYTES // 1024} KiB")
    return len(body).to_bytes(_LENGTH, "big") + body


def receive(fd: int) -> Spec | None:
    """Read one message; None if the sender went away before the end of it."""
    length = _exactly(fd, _LENGTH)
    body = _exactly(fd, int.from_bytes(length, "big"))
    return marshal.loads(body) if body else None  # noqa: S302 - over a private pipe of our parent


def _exactly(fd: int, count: int) -> bytes:
    """Read `count` bytes; none if the pipe ends before."""
    data = b""
    while len(data) < count:
        more = os.read(fd, count - len(data))
        if not more:
            return b""
        data += more
    return data
