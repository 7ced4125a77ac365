"""The agent that runs here, if one does: who holds the state directory, and whether it answers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from appagent import config
from appagent.daemon.client import ask
from appagent.doctor.finding import Doing, Known, Said, note, ok, problem, warning
from appagent.model.exit_codes import Refused

AGENT = "agent"
PID = "agent"  # what is Known of it
_PATIENCE = 3.0


def held(path: Path) -> int:
    """The pid that holds a lock file, 0 if none does, -1 if that cannot be seen.

    No lock is tried, not even for a moment: an agent that starts just then would give up.
    """
    try:
        status = path.stat()
        written = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return 0
    except OSError:
        return -1
    pid = int(written) if written.isascii() and written.isdigit() else 0
    with contextlib.suppress(OSError):
        if pid and has_open(pid, status):
            return pid
    with contextlib.suppress(OSError):
        return holder(Path("/proc/locks").read_text("ascii", "replace"), status)
    return 0


def has_open(pid: int, status: os.stat_result) -> bool:
    """Whether a process has a file open; the kernel's list of locks leaves out who is dead."""
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.path.samestat(handle.stat(), status):
                return True
    return False


def holder(locks: str, status: os.stat_result) -> int:
    """The pid that holds a flock on a file, from /proc/locks; 0 if none does."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in locks.splitlines():
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == device:  # noqa: PLR2004
            return int(words[4])
    return 0


def look(config_file: str | None, service: int) -> Iterator[Said]:
    """Judge the agent of a configuration, right or wrong. `service`: the unit's pid, or 0."""
    settings = config.locate(config_file)
    yield Doing(f"asking the agent at {settings.socket}")
    answers, why = _asked(settings.socket)
    lock = Path(settings.state_dir) / "lock"
    pid = held(lock)
    if pid > 0:
        yield Known(PID, pid)
    if answers:
        yield ok(AGENT, "the agent runs and answers")
    elif pid > 0:
        text = f"pid {pid} ({_command(pid)}) holds {settings.state_dir}, and no agent answers"
        do = f"{why}; see whether that is another agent, with another runtime_dir, and end it"
        yield problem(AGENT, text, do)
    elif pid == 0:
        text = "no agent runs here"
        yield note(AGENT, text, "systemctl start appagent, or: appagent run")
    else:
        yield note(AGENT, f"whether an agent runs cannot be seen: {why}", "run doctor as root")
    if service and pid > 0 and pid != service:
        text = f"{settings.state_dir} is held by pid {pid}, and the service's agent is {service}"
        yield warning(AGENT, text, f"end the one that is too many: ps -fp {pid},{service}")
    yield from _pidfile(Path(settings.runtime_dir) / "appagent.pid", service)


def _asked(path: str) -> tuple[bool, str]:
    try:
        for _ in ask(path, {"do": "status", "app": ""}, _PATIENCE):
            return True, ""
    except Refused as refused:
        return False, refused.text
    return False, "it said nothing"


def _command(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "not to be seen"
    return raw.replace(b"\0", b" ").decode("utf-8", "replace").strip() or "?"


def _pidfile(path: Path, service: int) -> Iterator[Said]:
    """An agent that was started with --daemonize, beside the service."""
    pid = held(path)
    if pid > 0 and service:
        text = f"beside the service an agent runs that was started with --daemonize (pid {pid})"
        yield warning(AGENT, text, f"kill {pid}: the service is to be the only one")
    elif pid > 0:
        yield ok(AGENT, f"it was started with --daemonize (pid {pid}, {path})")
