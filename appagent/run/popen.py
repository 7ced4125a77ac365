"""Starts the process of a shim, or explains why that is not possible.

stdin     the message, later the word to proceed (spec.py)
stdout    a pipe on which it reports the step it has come to; no target ever has it
stderr    a file with the errors of the shim itself, or of systemd-run, for a run without a result
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
    """A shim that waits for the word to proceed."""

    child: subprocess.Popen[bytes]
    proceed: int  # our end of its stdin
    reports: int  # our end of its stdout


def start(run: Run, message: bytes, unit: str, errors_path: str) -> Started:
    """Start a shim and send it the message. Raises OSError whose text a person can act on."""
    argv = [sys.executable, "-I", "-S", SHIM, run.app, str(run.target), run.id]
    if unit:
        argv = scope.in_scope(run.app, unit, argv)
    stdin, proceed = os.pipe2(os.O_CLOEXEC)
    reports, stdout = os.pipe2(os.O_CLOEXEC)
    errors = _open_errors(errors_path)
    try:
        os.write(proceed, message)  # it fits, see spec.MAX_BYTES
        os.set_blocking(reports, False)
        # A TERM before the shim has its handler must wait for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            child = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
                cwd="/",
                # What the shim itself needs; nothing of it reaches a target.
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")},
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    except BaseException as error:
        os.close(proceed)
        os.close(reports)
        if isinstance(error, FileNotFoundError | PermissionError):
            raise OSError(_missing(argv[0], error)) from None
        raise
    finally:
        for fd in (stdin, stdout, errors):
            os.close(fd)
    return Started(child, proceed, reports)


def _open_errors(path: str) -> int:
    """Open the file for stderr; where the disk has no room, stderr is lost, and the run is not."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _missing(program: str, error: OSError) -> str:
    """Explain which program cannot be started, and what to do."""
    if os.path.basename(program) == "systemd-run":
        where = program if os.path.isabs(program) else f"in {os.environ.get('PATH', os.defpath)}"
        return (
            f"cannot start systemd-run, which gives each run its scope ({where}: "
            f"{error.strerror}): install the systemd package again"
        )
    return (
        f"cannot start the agent's own Python ({program}: {error.strerror}): install appagent "
        "again and restart it"
    )
