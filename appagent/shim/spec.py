"""What the daemon tells a shim: one message over its stdin, then, in its own time, the go.

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
        then: list[tuple[str, float]]  # the steps to go on with, and their timeouts
        release: str
        release_name: str  # of the release, as a person knows it
        previous_name: str
        conf: str  # the id that the environment must have; "": any
        layout: str
        release_dir: str
        seen: bool  # the release is what the app's entry leads to now
        reason: str
        timeout: float
        grace: float
        patience: dict[str, float]  # seconds for `names` and for `share`, before anything runs
        root: str
        fstype: str  # of the filesystem that must hold the root; "": any
        run_as: str
        trusted: list[str]
        release_dirs: list[str]
        env_files: list[str]
        secret: bytes
        environment: str
        node: str
        search: str  # PATH
        lang: str
        targets: dict[str, str] | None  # what an earlier run found out; None: ask make
        unit: str  # the scope that the shim is in, or ""
        left: list[list[int]]  # what earlier runs have left running, where there are no scopes
        journal: bool  # output goes to the journal
        log: str  # … or to this file
        log_limit: int
        result: str
        lock: str  # of the app, see lock.py
        account: str  # the run as an agent to come is to find it
        boot: str
        kept: str  # directory of what is kept about the app: a copy of its Makefile
        bare: str  # a directory of its own, made for a stop when nothing else is left
        failpoints: str


GO = b"go\n"
MAX_BYTES = 48 * 1024  # it must fit into a pipe: the daemon never waits for a shim to read

_LENGTH = 4
_VERSION = 2  # of marshal's format: the oldest that has all that is needed here


def pack(spec: Spec) -> bytes:
    """Give the bytes to send, or raise ValueError if they are too many."""
    body = marshal.dumps(dict(spec), _VERSION)
    if len(body) > MAX_BYTES:
        raise ValueError(f"what is to be told to the shim is larger than {MAX_BYTES // 1024} KiB")
    return len(body).to_bytes(_LENGTH, "big") + body


def receive(fd: int) -> Spec | None:
    """Read one message; None if the sender went away before the end of it."""
    head = _exactly(fd, _LENGTH)
    if head is None:
        return None
    body = _exactly(fd, int.from_bytes(head, "big"))
    if body is None:
        return None
    spec: Spec = marshal.loads(body)  # noqa: S302 - from our own parent, over a private pipe
    return spec


def _exactly(fd: int, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        more = os.read(fd, count - len(data))
        if not more:
            return None
        data += more
    return data
