"""What /proc knows of processes and mounts. Light: the shim imports this."""

from __future__ import annotations

import os


class Process:
    """One process: /proc/PID/stat. `started` is in clock ticks since the boot."""

    __slots__ = ("group", "parent", "pid", "session", "started", "state")

    def __init__(self, pid: int, fields: list[str]) -> None:
        """Take the fields behind the name."""
        self.pid = pid
        self.state = fields[0]
        self.parent = int(fields[1])
        self.group = int(fields[2])
        self.session = int(fields[3])
        self.started = int(fields[19])

    @property
    def alive(self) -> bool:
        """A zombie is over: it only waits for its parent to notice."""
        return self.state not in {"Z", "X", "x"}


def process(pid: int) -> Process | None:
    """Read about one process; None if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
        # The name in brackets may hold anything, brackets too: count from its end.
        return Process(pid, text[text.rindex(")") + 2 :].split())
    except (OSError, ValueError, IndexError):
        return None


def started(pid: int) -> int:
    """When a process was started, in clock ticks since the boot; 0 if it does not exist."""
    found = process(pid)
    return found.started if found is not None else 0


def name(pid: int) -> str:
    """The name of a process, for a line that a person reads."""
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return file.read(64).decode("utf-8", "replace").strip()
    except OSError:
        return str(pid)


def processes() -> dict[int, Process]:
    """Read about all processes, by pid."""
    found: dict[int, Process] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (one := process(int(name))) is not None:
            found[one.pid] = one
    return found


def mountinfo() -> str:
    """The mount table of this process, "" if it cannot be read. Reading it touches no share."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
