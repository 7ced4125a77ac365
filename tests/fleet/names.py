"""Which process has which fleet: a name is taken by a lock, which ends with the process.

Somebody who only looks which fleets are nobody's any more takes their names for a moment. Nobody
else takes one meanwhile: it would seem to be in use.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from . import machine


def take(name: str) -> TextIO:
    """Take a name for this process until the lock is closed, or say that another has it."""
    with taking(fcntl.LOCK_SH):
        return lock(name)


@contextmanager
def alone() -> Iterator[None]:
    """Let nobody take a name (but by `lock`) while the block lasts."""
    with taking(fcntl.LOCK_EX):
        yield


def lock(name: str) -> TextIO:
    """Take a name, for those who are alone."""
    held = (machine.RUN / f"{name}.lock").open("a+")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        msg = f"the fleet {name!r} is in use by another process: set FLEET to another name"
        raise RuntimeError(msg) from None
    return held


@contextmanager
def taking(how: int) -> Iterator[None]:
    """Hold the lock that goes before those of the names: shared to take one, or alone."""
    machine.RUN.mkdir(parents=True, exist_ok=True)
    with (machine.RUN / "names").open("a") as first:
        fcntl.flock(first, how)
        yield
