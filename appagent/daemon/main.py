"""`appagent run`: in the foreground, or as a forking daemon with a locked pidfile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from pathlib import Path
from typing import Self, TextIO

import daemon as python_daemon

from appagent.config import Loaded
from appagent.daemon.agent import Agent
from appagent.host import files
from appagent.model.exit_codes import INTERNAL_ERROR, LATER, SOFTWARE
from appagent.model.notices import Level
from appagent.model.settings import Settings
from appagent.report.log import set_up
from appagent.shim import failpoint
from appagent.state.directory import StateError
from appagent.state.store import Store


class Pidfile:
    """A pidfile that is locked as long as its process lives.

    The file alone proves nothing: it stays after a kill -9. The lock goes with the process, and is
    inherited over the forks of daemonizing because it belongs to the open file.
    """

    def __init__(self, path: Path) -> None:
        """Open and lock it; StateError with the pid of the process that holds it."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.handle = files.lock(path, 0o644)
        except BlockingIOError:
            pid = files.read_pid(path)
            raise StateError(f"an agent is already running (pid {pid}, {path})") from None
        except OSError as error:
            raise StateError(f"cannot write the pidfile {path}: {error.strerror}") from error

    def __enter__(self) -> Self:
        """Write the pid of this process, the last one forked."""
        files.write_pid(self.handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the file; the lock goes with the descriptor."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def pidfile_of(settings: Settings) -> Path:
    """Where `--daemonize` keeps its locked pidfile."""
    return Path(settings.runtime_dir) / "appagent.pid"


def run(loaded: Loaded, path: str | None, *, daemonize: bool, pidfile: str | None) -> int:
    """Run the agent; the exit code."""
    if path is not None:
        path = str(Path(path).absolute())
    if not daemonize:
        return serve(loaded, path)
    try:
        # The lock of the state directory is tried first, so that the caller sees an error.
        Store(loaded.settings.state_dir).close()
        lock = Pidfile(Path(pidfile).absolute() if pidfile else pidfile_of(loaded.settings))
    except StateError as error:
        sys.stderr.write(f"appagent: {error}\n")
        return LATER
    context = python_daemon.DaemonContext(
        # By default it would not detach where stdin is a socket (ssh) or the parent is process 1
        # (a container), and the caller would wait forever.
        detach_process=True,
        # The apps would inherit the defaults.
        prevent_core=False,
        signal_map={},
        working_directory="/",
        umask=0o022,
        pidfile=lock,
        files_preserve=[lock.handle],
        stderr=log_stream(),
    )
    with context:
        return serve(loaded, path)


def log_stream() -> TextIO | None:
    """The daemon's stderr: the file that it was redirected to; nothing for a terminal."""
    with contextlib.suppress(OSError, ValueError):
        if stat.S_ISREG(os.fstat(sys.stderr.fileno()).st_mode):
            return sys.stderr
    return None


def serve(loaded: Loaded, path: str | None) -> int:
    """Set up the log and the state, and run the agent; the exit code."""
    settings = loaded.settings
    failpoint.arm(os.environ.get("APPAGENT_FAILPOINT", ""))
    log = set_up(settings.log_format, settings.log_level)
    try:
        store = Store(settings.state_dir)
    except StateError as error:
        log.write(Level.ERROR, str(error))
        return LATER
    for warning in loaded.warnings:
        log.write(Level.WARNING, warning)
    os.umask(0o022)

    async def start() -> int:  # the parts of the agent need a running loop
        return await Agent(loaded, path, store, log).run()

    try:
        return asyncio.run(start())
    except Exception:  # noqa: BLE001 - it is logged with its traceback
        log.fault(f"{INTERNAL_ERROR}; the agent ends")
        return SOFTWARE
