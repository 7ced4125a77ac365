"""Starts the process of a shim, or says what is wrong where that cannot be.

stdin     what it is told, and in its own time the go (spec.py)
stdout    a pipe on which it says which step it has found; no target ever has it
stderr    a file with what it, or systemd-run, complains of, for whoever finds no result
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NamedTuple

from appagent.model.applied import Run
from appagent.run import scope

SHIM = os.path.abspath(f"{__file__}/../../shim/main.py")


class Started(NamedTuple):
    """A shim that waits for its go."""

    child: subprocess.Popen[bytes]
    go: int  # the end of the pipe that says go
    heard: int  # … of the one that it speaks on


def start(run: Run, told: bytes, unit: str, complaints: str) -> Started:
    """Start a shim and tell it everything but the go. Raises OSError that says what is wrong."""
    argv = [sys.executable, "-I", "-S", SHIM, run.app, str(run.target), run.id]
    if unit:
        argv = scope.in_scope(run.app, unit, argv)
    listen, go = os.pipe2(os.O_CLOEXEC)
    heard, speak = os.pipe2(os.O_CLOEXEC)
    errors = _complaints(complaints)
    try:
        os.write(go, told)  # it fits, see spec.MAX_BYTES
        os.set_blocking(heard, False)
        # A TERM before the shim has its handler must wait for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            child = subprocess.Popen(
                argv,
                stdin=listen,
                stdout=speak,
                stderr=errors,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except BaseException as error:
        os.close(go)
        os.close(heard)
        if isinstance(error, FileNotFoundError | PermissionError):
            raise OSError(_missing(argv[0], error)) from None
        raise
    finally:
        for fd in (listen, speak, errors):
            os.close(fd)
    return Started(child, go, heard)


def _complaints(path: str) -> int:
    """Open the file for complaints; on a disk that takes none they are lost, and the run is not."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _missing(program: str, error: OSError) -> str:
    """Say which program cannot be started, and what to do."""
    if os.path.basename(program) == "systemd-run":
        where = program if os.path.isabs(program) else f"in {os.environ.get('PATH', os.defpath)}"
        return (
            f"systemd-run, which gives each run a scope of its own, is not to be had ({where}: "
            f"{error.strerror}): install the package systemd whole"
        )
    return (
        f"the Python that the agent runs on is not to be had any more ({program}: "
        f"{error.strerror}): install appagent again and restart it"
    )


def _environment() -> dict[str, str]:
    """What the shim itself needs; nothing of it reaches a target."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
