"""What the agent must know of the machine: the time, and which boot this is."""

from __future__ import annotations

import time
from pathlib import Path

from appagent.model import Now


def now() -> Now:
    """The time, as the core takes it."""
    return Now(time.monotonic(), time.time())


def boot() -> str:
    """Name this boot: the kernel's id of it and the start of PID 1.

    A container shares the kernel's id with its host and has a PID 1 of its own, so the second
    part tells its restarts apart.
    """
    ident = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{ident}.{started(1)}"


def started(pid: int) -> int:
    """When a process was started, in clock ticks since the machine's boot; 0 if it is not there."""
    try:
        raw = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    # The name in brackets may hold anything, brackets too: count from its end.
    return int(raw.rpartition(")")[2].split()[19])
