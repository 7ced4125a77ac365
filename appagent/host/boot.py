"""What the agent must know of the machine: the time, and which boot this is."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from appagent.model.words import Now


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


SYSTEMD = "/run/systemd/system"
SOFTLEVEL = "/run/openrc/softlevel"


async def goes_down(systemd: str = SYSTEMD, softlevel: str = SOFTLEVEL) -> bool:
    """Whether the whole machine is being stopped, and not the agent alone.

    Where no service manager can say it, it is the agent alone: nothing is stopped by mistake.
    """
    if has_directory(systemd):
        return await said_by("systemctl", "is-system-running") == "stopping"
    return content(softlevel) in ("shutdown", "reboot")


def has_directory(path: str) -> bool:
    """Whether a directory is there, on the local disk."""
    return Path(path).is_dir()


def content(path: str) -> str:
    """What a small local file says; "" if there is none."""
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""


async def said_by(*command: str) -> str:
    """What a command prints; "" if it is not there or does not answer."""
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(5.0):
            out, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        return ""
    return out.decode("utf-8", "replace").strip()
