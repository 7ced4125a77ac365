"""The agent that runs here, if one does: who holds the state directory, and whether it answers."""

from __future__ import annotations

import contextlib
import os
import re
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path

from appagent import config
from appagent.daemon.client import ask
from appagent.doctor.finding import Finding, Item, Step, note, ok, problem, warning
from appagent.host import files, proc
from appagent.model.exit_codes import Refused

AGENT, FILES = "agent", "open files"
_DEADLINE = 3.0
_ENOUGH_FILES = 512  # 64 clients, some watchers, a few for each run


def check(config_file: str | None, show: Mapping[str, str]) -> Iterator[Item]:
    """Judge the agent of a configuration, valid or not. `show`: properties of the service."""
    settings = config.locate(config_file)
    yield Step(f"asking the agent at {settings.socket}")
    why = _no_answer(settings.socket)
    pid = holder(Path(settings.state_dir) / "lock")
    service = int(show.get("MainPID") or 0)
    if not why:
        yield ok(AGENT, "the agent runs and answers")
    elif pid is None:
        yield note(AGENT, f"it is not visible whether an agent runs: {why}", "run doctor as root")
    elif pid:
        text = f"pid {pid} ({proc.name(pid)}) holds {settings.state_dir}, but does not answer"
        do = f"{why}; if that is an agent with another runtime_dir, stop it: kill {pid}"
        yield problem(AGENT, text, do)
    else:
        yield note(AGENT, "no agent runs here", "systemctl start appagent, or: appagent run")
    if service and pid and pid != service:
        text = f"{settings.state_dir} is held by pid {pid}, the agent of the service is {service}"
        yield warning(AGENT, text, f"stop the one that should not run: ps -fp {pid},{service}")
    yield from open_files(pid or 0, show)


def holder(path: Path) -> int | None:
    """The process that holds a lock file, 0 if none does, None if that is not visible.

    The lock itself is not tried, not even for a moment: an agent that starts just then would fail.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    except OSError:
        return None
    pid = files.read_pid(path)
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(handle.stat(), status):
                    return pid
    return 0


def _no_answer(socket: str) -> str:
    """Why the agent does not answer; "" if it does."""
    try:
        for _ in ask(socket, {"do": "status", "app": ""}, _DEADLINE):
            return ""
    except Refused as refused:
        return refused.text
    return "it closed the connection"


def open_files(agent: int, show: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the agent (a pid, 0 if none runs) may open as many files as it may need."""
    soft, whose = resource.getrlimit(resource.RLIMIT_NOFILE)[0], "an agent started here"
    of_unit = show.get("LimitNOFILESoft", "")
    if show.get("LoadState") == "loaded" and of_unit.isdigit():
        soft, whose = int(of_unit), "the service"
    with contextlib.suppress(OSError):
        limits = Path(f"/proc/{agent}/limits").read_text("ascii") if agent else ""
        if found := re.search(r"(?m)^Max open files\s+(\d+)", limits):
            soft, whose = int(found[1]), "the agent"
    text = f"{whose} may open {soft} files"
    if soft < _ENOUGH_FILES:
        yield warning(FILES, text, f"allow {_ENOUGH_FILES} or more: LimitNOFILE=, ulimit -n")
    else:
        yield ok(FILES, text)
